"""What the plugin contributes. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from penjing import hookimpl
from penjing.contract import Domain, Metric, PredictOption
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
            summary="false accepts an hour and false rejects on a continuous stream of the part's clips",
        ),
    ),
    recipes={
        "default": f"{_PACKAGE}:recipes/default.toml",
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
    predict_options=(
        PredictOption(flag="--stream", help="words with their times in a long recording"),
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
