"""What the plugin contributes. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from penjing import hookimpl
from penjing.contract import Domain, Evaluation, Exporter, Metric, PredictOption, ReportSection, RunInfo
from penjing_keyword_spotting import DOMAIN

_PACKAGE = "penjing_keyword_spotting"

KEYWORD_SPOTTING = Domain(
    name=DOMAIN,
    summary="A few spoken words, recognised in one-second clips and on a stream.",
    task="classification",
    load_data=f"{_PACKAGE}.data:load_data",
    build_model=f"{_PACKAGE}.models:build_model",
    build_teacher=f"{_PACKAGE}.models:build_teacher",
    baselines=(f"{_PACKAGE}.baseline:fit_baseline",),
    augment=f"{_PACKAGE}.augmentation:augment",
    metrics=(
        Metric(
            name="accuracy",
            function=f"{_PACKAGE}.metrics:accuracy",
            direction="higher",
            primary=True,
            summary="share of clips with the right word",
        ),
        Metric(
            name="balanced_accuracy",
            function=f"{_PACKAGE}.metrics:balanced_accuracy",
            direction="higher",
            summary="mean recall over the words",
        ),
        Metric(
            name="recall",
            function=f"{_PACKAGE}.metrics:recall_per_class",
            direction="higher",
            summary="share of each class that is recognised",
        ),
        Metric(
            name="stream",
            function=f"{_PACKAGE}.stream_metrics:stream_errors",
            direction="lower",
            kind="system",
            summary="false accepts an hour and false rejects on hours of talk, noise and words of the part",
        ),
        Metric(
            name="rejects_at",
            function=f"{_PACKAGE}.stream_metrics:rejects_at",
            direction="lower",
            kind="system",
            summary="false rejects where there are at most so many false accepts an hour",
        ),
        Metric(
            name="in_noise",
            function=f"{_PACKAGE}.noise_metrics:by_noise",
            direction="higher",
            kind="system",
            summary="accuracy of spoken clips, and words found on a stream, by signal-to-noise ratio",
        ),
    ),
    recipes={
        "default": f"{_PACKAGE}:recipes/default.toml",
        "quick": f"{_PACKAGE}:recipes/quick.toml",
        "smallest": f"{_PACKAGE}:recipes/smallest.toml",
        "accurate": f"{_PACKAGE}:recipes/accurate.toml",
        "pretrained": f"{_PACKAGE}:recipes/pretrained.toml",
    },
    budget={"flash": "32KB", "drop": "0.02"},
    split_by="speaker",
    slices=("word", "loudness"),
    preprocess=f"{_PACKAGE}.features:preprocess",
    predict=f"{_PACKAGE}.predict:predict",
    pretrained=f"{_PACKAGE}:pretrained",
    predict_example=f"{_PACKAGE}.examples:write_examples",
    predict_options=(
        PredictOption(flag="--stream", help="words with their times in a long recording, read block by block"),
        PredictOption(flag="--microphone", help="words as they are said, until Ctrl-C", live=True),
        PredictOption(flag="--device", help="the microphone: a part of its name, or its number", kind="text"),
        PredictOption(flag="--seconds", help="how long to listen to the microphone", kind="number"),
        PredictOption(flag="--top", help="how many words to name per clip", kind="integer", default=3),
        PredictOption(
            flag="--threshold",
            help="probability from which a word counts on a stream",
            kind="number",
            default=None,
        ),
    ),
    data_license="Speech Commands: CC BY 4.0 (P. Warden 2018). The built-in sample is generated.",
    intended_use="Short commands at close range. Not a transcriber, not for identifying speakers.",
)


@hookimpl
def penjing_domains() -> Iterable[Domain]:
    yield KEYWORD_SPOTTING


@hookimpl
def penjing_report_sections(run: RunInfo, evaluation: Evaluation) -> Iterable[ReportSection]:
    if run.domain == DOMAIN:
        from penjing_keyword_spotting.sections import report_sections

        yield from report_sections(evaluation)


@hookimpl
def penjing_exporters() -> Iterable[Exporter]:
    yield Exporter(
        name="keyword-spotting-cpp",
        summary="C++17 for a microcontroller: model, front end, decision on a stream, and an example with a Makefile.",
        export=f"{_PACKAGE}.microcontroller:write_project",
    )
