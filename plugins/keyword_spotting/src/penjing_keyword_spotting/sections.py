"""The domain's part of the report: streams, noise, words, speakers, and the clips that were hardest, to be heard."""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import soundfile

from penjing.contract import Evaluation, ReportSection
from penjing_keyword_spotting import drawings
from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.noise_metrics import RATIOS_DB, by_noise
from penjing_keyword_spotting.stream_metrics import (
    StreamSettings,
    detection_error_tradeoff,
    false_accepts,
    recording_of,
    stream_errors,
)

MODELS = {"compressed": "the file", "reference": "before compression"}
MOST_SPEAKERS = 12
CONSENT = (
    "The recordings are part of this page. They are people's voices: pass the page on only where they may be heard."
)


def report_sections(evaluation: Evaluation) -> Iterator[ReportSection]:
    """All sections of a finished run."""
    yield _stream(evaluation)
    yield _noise(evaluation)
    yield _words(evaluation)
    yield _speakers(evaluation)
    yield _hardest(evaluation)


def _stream(evaluation: Evaluation) -> ReportSection:
    splits = evaluation.splits
    settings: StreamSettings = splits.extra["stream"]
    recording = recording_of(splits.test, splits)
    curves, marks, rows = {}, {}, []
    for model, shown in MODELS.items():
        predict = evaluation.predict[model]
        points = detection_error_tradeoff(predict, splits.test, splits)
        curves[shown] = [(point.accepts_per_hour, point.false_reject_share) for point in points]
        errors = stream_errors(predict, splits.test, splits)
        accepts, rejects = errors["false_accepts_per_hour"], errors["false_reject_share"]
        value = getattr(rejects, "value", float("nan"))
        marks[shown] = (accepts.value, value)  # type: ignore[union-attr]
        rows.append(
            [
                shown,
                f"{accepts.value:.2f} [{accepts.low:.2f}, {accepts.high:.2f}]",  # type: ignore[union-attr]
                f"{errors['false_accept_sources']:.0f}",
                _share(rejects),
                f"{errors['threshold']:.4g}, mean of {errors['smoothed_looks']:.0f} looks",
                f"{errors['validation_false_accepts_per_hour']:.2f}",
            ]
        )
    spoken = sum(sound.length for sound in recording.sounds) / recording.sample_rate / 3600
    made_of = (
        f"<p>{recording.hours:.2f} hours made of the test part's own clips: {len(recording.words):,} words to be "
        f"found, each clip once; {recording.others:,} other words, from {recording.distinct_others:,} clips at "
        f"changing speed; {recording.noise_seconds / 3600:.2f} hours of noise without talk, from "
        f"{len(recording.background):,} recordings (stretches that training has not heard); the rest are quiet rooms. "
        f"Somebody speaks for {spoken:.2f} hours.</p>"
    )
    chosen = (
        f"<p>Threshold and smoothing are those with the fewest words missed among all that keep to "
        f"{settings.most_false_accepts_per_hour:g} false accepts an hour on the validation part's recording. Few clips "
        "of other words make figures of streams uncertain: the interval draws the clips and scenes anew.</p>"
    )
    table = _table(
        ["", "false accepts an hour", "from so many clips and scenes", "words missed", "threshold", "on validation"],
        rows,
    )
    drawing = drawings.trade_off(curves, marks, floor=0.5 / recording.hours)
    return ReportSection(
        title="On a stream", html=made_of + chosen + table + drawing + _curve_table(curves) + _mistaken(evaluation)
    )


def _curve_table(curves: dict[str, list[tuple[float, float]]]) -> str:
    from penjing_keyword_spotting.stream_metrics import THRESHOLDS

    rows = [
        [f"{threshold:.4g}", *(f"{curve[index][0]:.2f} / {curve[index][1]:.1%}" for curve in curves.values())]
        for index, threshold in enumerate(THRESHOLDS)
    ]
    return (
        "<details><summary>The curve in figures: false accepts an hour / words missed</summary>"
        + _table(["threshold", *curves], rows)
        + "</details>"
    )


def _mistaken(evaluation: Evaluation) -> str:
    """What the file took for a word, most often first."""
    splits = evaluation.splits
    found = false_accepts(evaluation.predict["compressed"], splits.test, splits)
    counts = Counter((row, detection.word) for detection, row in found)
    if not counts:
        return "<p>On the test part's recording the file took nothing for a word that was none.</p>"
    rows = []
    for (row, word), count in counts.most_common(splits.extra["clips_in_report"] // 2 or 6):
        if row is None:
            rows.append(["", "background", "", word, f"{count}"])
        else:
            rows.append(
                [_sound(evaluation, row), splits.test.ids[row], splits.labels[splits.test.y[row]], word, f"{count}"]
            )
    return (
        f"<h3>What the file took for a word</h3><p>{len(found):,} false accepts from {len(counts):,} sounds; the most "
        f"frequent:</p>" + _table(["", "clip", "what it is", "taken for", "times"], rows, plain=0)
    )


def _noise(evaluation: Evaluation) -> ReportSection:
    splits = evaluation.splits
    names = ["clean" if ratio is None else f"{ratio} dB" for ratio in RATIOS_DB]
    figures = {shown: by_noise(evaluation.predict[model], splits.test, splits) for model, shown in MODELS.items()}

    def of(kind: str) -> dict[str, list[float | None]]:
        return {shown: [values.get(f"{name} {kind}") for name in names] for shown, values in figures.items()}

    return ReportSection(
        title="In noise",
        html="<p>Spoken clips of the test part with the noise recordings under them, at exact ratios of power; and its "
        "words one after the other in such noise, found at the operating point.</p>"
        + drawings.by_ratio(names, of("accuracy"), "clips recognised")
        + drawings.by_ratio(names, of("found"), "words found on a stream"),
    )


def _words(evaluation: Evaluation) -> ReportSection:
    splits = evaluation.splits
    truth = np.asarray(splits.test.y)
    right = {model: np.argmax(evaluation.outputs[model], axis=1) == truth for model in MODELS}
    rows = []
    for number, label in enumerate(splits.labels):
        mine = truth == number
        if mine.any():
            before, after = right["reference"][mine], right["compressed"][mine]
            note = f"{before.mean():.2f} to {after.mean():.2f}, n {mine.sum()}"
            rows.append((label, float(before.mean()), float(after.mean()), note))
    return ReportSection(
        title="Each word, before and after",
        html="<p>Share of each word's test clips that is recognised: above before compression, below in the file.</p>"
        + drawings.pairs(rows),
    )


def _speakers(evaluation: Evaluation) -> ReportSection:
    test = evaluation.splits.test
    if test.groups is None:
        return ReportSection(title="By speaker", html="<p>Who speaks is not known in this collection.</p>")
    wrong = {model: np.argmax(evaluation.outputs[model], axis=1) != np.asarray(test.y) for model in MODELS}
    names, index = np.unique(np.asarray(test.groups).astype(str), return_inverse=True)
    named = np.array([not name.startswith("unnamed:") for name in names])
    counts = np.bincount(index)
    errors = {model: np.bincount(index, weights=values) for model, values in wrong.items()}
    order = [row for row in np.argsort(-errors["compressed"], kind="stable") if named[row]]
    faultless = int(np.sum((errors["compressed"] == 0) & named))
    rows = [
        [names[row], f"{counts[row]}", f"{errors['reference'][row]:.0f}", f"{errors['compressed'][row]:.0f}"]
        for row in order[:MOST_SPEAKERS]
        if errors["compressed"][row] or errors["reference"][row]
    ]
    several = named & (counts >= 3)
    half = int(np.sum(errors["compressed"][several] * 2 >= counts[several]))
    return ReportSection(
        title="By speaker",
        html=f"<p>{named.sum():,} speakers in the test part; the file recognises every clip of {faultless:,} of them. "
        f"Of {int(several.sum()):,} with three clips or more, {half:,} have half of them or more wrong.</p>"
        + (_table(["speaker", "clips", "wrong before", "wrong in the file"], rows) if rows else ""),
    )


def _hardest(evaluation: Evaluation) -> ReportSection:
    splits = evaluation.splits
    outputs = evaluation.outputs["compressed"]
    before = np.argmax(evaluation.outputs["reference"], axis=1)
    decided, truth = np.argmax(outputs, axis=1), np.asarray(splits.test.y)
    wrong = np.flatnonzero(decided != truth)
    surest = wrong[np.argsort(-outputs[wrong, decided[wrong]], kind="stable")]
    most = splits.extra["clips_in_report"]
    rows = [
        [
            _sound(evaluation, row),
            splits.test.ids[row],
            splits.labels[truth[row]],
            f"{splits.labels[decided[row]]} ({outputs[row, decided[row]]:.2f})",
            splits.labels[before[row]],
        ]
        for row in surest[: most or 12]
    ]
    return ReportSection(
        title="Hardest clips",
        html=f"<p>{len(wrong):,} of {len(truth):,} test clips are recognised wrongly; those where the file was surest. "
        f"{CONSENT if most and rows else ''}</p>"
        + _table(["", "clip", "said", "heard (probability)", "heard before compression"], rows, plain=0),
    )


def _sound(evaluation: Evaluation, row: int) -> str:
    """A clip as a control that plays it; FLAC, as it is half as large as PCM and loses nothing."""
    splits = evaluation.splits
    if not splits.extra["clips_in_report"]:
        return ""
    buffer = io.BytesIO()
    rate = FrontEnd.from_json(splits.preprocessing).sample_rate
    soundfile.write(buffer, splits.test.raw[row], rate, format="FLAC", subtype="PCM_16")
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<audio controls preload="none" style="width:11rem;height:2rem" src="data:audio/flac;base64,{data}"></audio>'
    )


def _share(rejects: object) -> str:
    if hasattr(rejects, "value"):
        return f"{rejects.value:.1%} [{rejects.low:.1%}, {rejects.high:.1%}]"  # type: ignore[attr-defined]
    return "no words"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], plain: int | None = None) -> str:
    """A table; the column numbered `plain` is markup already, all others are escaped."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in heads)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{cell if index == plain else html.escape(str(cell))}</td>" for index, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
