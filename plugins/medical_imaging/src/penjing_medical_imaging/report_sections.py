"""The domain's part of the report: ROC before and after, reliability, operating point, abstention, heat maps."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import Evaluation, ReportSection, RunInfo, Splits
from penjing_medical_imaging import NOT_CLINICAL
from penjing_medical_imaging.delong import delong
from penjing_medical_imaging.drawings import legend, unit_square
from penjing_medical_imaging.heat_maps import ActivationMaps
from penjing_medical_imaging.inputs import unit
from penjing_medical_imaging.map_agreement import grad_cam, map_agreement
from penjing_medical_imaging.metrics import columns, is_multilabel, reliability
from penjing_medical_imaging.operating_point import rates
from penjing_medical_imaging.overlay import as_png, drawn_over

MOST_MAPS = 400
"""Test images whose maps are compared."""
MOST_CURVES = 4
SHOWN = 8
BEFORE, AFTER = "before compression", "the file"


def sections(run: RunInfo, evaluation: Evaluation) -> Iterator[ReportSection]:
    """All sections of a finished run."""
    splits = evaluation.splits
    outputs = {
        name: np.asarray(evaluation.outputs[model], np.float64)
        for name, model in ((BEFORE, "reference"), (AFTER, "compressed"))
    }
    yield ReportSection(title="Not for clinical use", html=f"<p><strong>{html.escape(NOT_CLINICAL)}</strong></p>")
    yield _curves(splits, outputs, run.metrics)
    yield _operating(splits, run.metrics)
    yield _strangers(run.metrics)
    yield _heat_maps(run.folder, evaluation, outputs[AFTER])


def _curves(splits: Splits, outputs: Mapping[str, np.ndarray], metrics: Mapping[str, Any]) -> ReportSection:
    questions = {name: columns(splits.test.y, values) for name, values in outputs.items()}
    count = len(questions[AFTER])
    names = [splits.labels[-1]] if count == 1 else list(splits.labels)
    # Of many classes those that compression moved most.
    rows, moved = [], []
    for number in range(count):
        positive = questions[AFTER][number][0]
        if not 2 <= positive.sum() <= len(positive) - 2:
            continue
        compared = delong(positive, np.stack([questions[BEFORE][number][1], questions[AFTER][number][1]]))
        gap, low, high, chance = compared.difference()
        first, last = compared.interval(0), compared.interval(1)
        moved.append((abs(gap), number))
        rows.append(
            f"<tr><td>{html.escape(names[number])}</td>"
            f"<td>{compared.areas[0]:.4f} [{first[0]:.4f}, {first[1]:.4f}]</td>"
            f"<td>{compared.areas[1]:.4f} [{last[0]:.4f}, {last[1]:.4f}]</td>"
            f"<td>{gap:+.4f} [{low:+.4f}, {high:+.4f}]</td><td>{chance:.3f}</td></tr>"
        )
    drawn = "".join(
        unit_square(
            f"ROC: {names[number]}",
            "1 - specificity",
            "sensitivity",
            {name: roc_points(*questions[name][number]) for name in outputs},
            marks=_mark(splits, questions[AFTER][number], metrics) if count == 1 else None,
        )
        for number in [number for _, number in sorted(moved, reverse=True)[:MOST_CURVES]]
    )
    table = (
        "<table><tr><th>finding</th><th>AUC before [95 % DeLong]</th><th>AUC of the file</th><th>difference</th>"
        f"<th>p of no difference</th></tr>{''.join(rows)}</table>"
    )
    calibration = unit_square(
        "Reliability",
        "probability",
        "share that happened",
        {n: _reliable(splits, v) for n, v in outputs.items()},
        dots=True,
    )
    ring = " The ring is the operating point of the validation part's threshold." if count == 1 else ""
    return ReportSection(
        title="ROC and reliability, before and after",
        html=f"{drawn}{calibration}<p>{legend()}.{ring}</p>{table}"
        "<p>The difference is paired on the same test images (DeLong 1988, computed as Sun and Xu 2014).</p>",
    )


def roc_points(positive: np.ndarray, score: np.ndarray) -> list[tuple[float, float]]:
    """(1 - specificity, sensitivity) at each distinct score, from (0, 0) to (1, 1)."""
    order = np.argsort(-score, kind="stable")
    ordered, ends = positive[order], np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    true, false = np.cumsum(ordered)[ends], np.cumsum(~ordered)[ends]
    up, right = true / max(1, positive.sum()), false / max(1, (~positive).sum())
    return [(0.0, 0.0), *zip(right.tolist(), up.tolist(), strict=True)]


def _mark(splits: Splits, question: tuple[np.ndarray, np.ndarray], metrics: Mapping[str, Any]) -> Any:
    threshold = metrics["compressed"]["metrics"].get("operating_point[threshold]")
    if threshold is None:
        return None
    sensitivity, specificity = rates(question[0], question[1] > threshold)
    return {AFTER: (1 - specificity, sensitivity)}


def _reliable(splits: Splits, outputs: np.ndarray) -> list[tuple[float, float]]:
    y, p = np.asarray(splits.test.y), np.clip(outputs.reshape(len(outputs), -1), 0, 1)
    if is_multilabel(y) or p.shape[1] == 1:
        found = reliability(p.reshape(-1), y.reshape(-1).astype(np.float64))
    else:
        found = reliability(p.max(axis=1), (p.argmax(axis=1) == y).astype(np.float64))
    return [(probability, share) for probability, share, _ in found]


def _operating(splits: Splits, metrics: Mapping[str, Any]) -> ReportSection:
    tables = {
        name: _of(metrics[key]["metrics"], "operating_point")
        for name, key in ((BEFORE, "reference"), (AFTER, "compressed"))
    }
    shown = [name for name in tables[AFTER] if not name.endswith("npv") and tables[AFTER][name] is not None]
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{_figure(tables[model].get(name))}</td>" for model in (BEFORE, AFTER))
        + "</tr>"
        for name in shown
    )
    if splits.task in ("binary", "multilabel"):
        how = "The threshold is chosen on the validation part, for each model by its own outputs."
    else:
        how = "The likeliest class is decided."
    return ReportSection(
        title="Operating point",
        html=f"<p>{how} ppv: the share of positive decisions that would be right at the stated prevalence, which need "
        f"not be that of the test part.</p><table><tr><th></th><th>{BEFORE}</th><th>{AFTER}</th></tr>{rows}</table>",
    )


def _strangers(metrics: Mapping[str, Any]) -> ReportSection:
    found = _of(metrics["compressed"]["metrics"], "abstention")
    names = [name.removeprefix("flagged ") for name in found if name.startswith("flagged ")]
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{_figure(found.get(f'auc {name}'))}</td>"
        f"<td>{_figure(found.get(f'flagged {name}'))}</td></tr>"
        for name in names
    )
    return ReportSection(
        title="Abstention",
        html="<p>An image is flagged where the Mahalanobis distance of 70 simple statistics of it, under principal "
        "components of the training part, is above a quantile of the validation part. Of the test part "
        f"{_figure(found.get('flagged'))} are flagged. Images that are none of the set's:</p>"
        f"<table><tr><th>images</th><th>AUC of the score</th><th>share flagged</th></tr>{rows}</table>"
        "<p>A low score does not say that a decision is right, only that the image looks like those of the training "
        "part.</p>",
    )


def _heat_maps(folder: Path, evaluation: Evaluation, outputs: np.ndarray) -> ReportSection:
    splits = evaluation.splits
    try:
        maps = ActivationMaps(evaluation.content)
        before, last = evaluation.reference, _before_quantization(folder)
        x = np.asarray(splits.test.x)[:MOST_MAPS]
        output = _about(splits, outputs[: len(x)])
        of_file = maps.of(x)
        after = of_file[np.arange(len(x)), :, :, output]
        first = grad_cam(before, x, output)
        lines = [f"<li>reference to file, all steps: {map_agreement(first, after).summary}</li>"]
        if last is not None:
            lines.append(
                f"<li>last Keras model to file, quantization alone: "
                f"{map_agreement(grad_cam(last, x, output), after).summary}</li>"
            )
    except ValueError as error:
        return ReportSection(title="Heat maps", html=f"<p>There are none: {html.escape(str(error))}.</p>")
    images = unit(np.asarray(splits.test.raw)[: len(x)])
    rows = [
        _example(splits, images, first, after, outputs, index, output) for index in _chosen(splits, outputs[: len(x)])
    ]
    return ReportSection(
        title="Heat maps",
        html="<p>Where the evidence for the decided finding is: Grad-CAM of the model before compression, and the "
        "class activation map of the file, computed from its own integers. Spearman's rank correlation of the two, "
        f"image by image:</p><ul>{''.join(lines)}</ul>"
        "<table><tr><th>test image</th><th></th><th>before</th><th>file</th></tr>" + "".join(rows) + "</table>"
        "<p>A map shows what moved this network's output, not where an illness is.</p>",
    )


def _before_quantization(folder: Path) -> Any:
    """The Keras model that the last step wrote as a file, where it is a plain one."""
    import keras

    models = sorted((folder / "steps").glob("*/model.keras"))
    try:
        model = keras.saving.load_model(models[-1], compile=False) if models else None
    except (ValueError, TypeError, OSError):
        return None
    # A model that simulates quantization computes as the file does: there is nothing between the two.
    pool = next((layer for layer in model.layers if layer.name == "pool"), None) if model is not None else None
    return model if isinstance(pool, keras.layers.GlobalAveragePooling2D) else None


def _about(splits: Splits, outputs: np.ndarray) -> np.ndarray:
    """The output that an image's map is about: the finding, the likeliest class, the likeliest label."""
    flat = outputs.reshape(len(outputs), -1)
    return np.zeros(len(flat), int) if flat.shape[1] == 1 else flat.argmax(axis=1)


def _chosen(splits: Splits, outputs: np.ndarray) -> list[int]:
    """Some images: the surest, and the wrong ones among them."""
    flat = outputs.reshape(len(outputs), -1)
    if flat.shape[1] == 1:
        y = np.asarray(splits.test.y)[: len(flat)]
        sure = np.argsort(-flat[:, 0], kind="stable")
        right = [int(i) for i in sure if y[i] == 1][: SHOWN // 2]
        wrong = [int(i) for i in sure if y[i] == 0 and flat[i, 0] > 0.5][: SHOWN // 2]
        return right + wrong
    return [int(i) for i in np.argsort(-flat.max(axis=1), kind="stable")[:SHOWN]]


def _example(
    splits: Splits,
    images: np.ndarray,
    first: np.ndarray,
    after: np.ndarray,
    outputs: np.ndarray,
    index: int,
    output: np.ndarray,
) -> str:
    y = np.asarray(splits.test.y)[index]
    if np.ndim(y):
        truth = ", ".join(label for label, value in zip(splits.labels, y, strict=True) if value > 0.5) or "no label"
    else:
        truth = splits.labels[int(y)]
    number = int(output[index])
    finding = splits.labels[-1] if splits.task == "binary" else splits.labels[number]
    probability = float(outputs.reshape(len(outputs), -1)[index, number])
    pictures = [as_png(images[index], 140), *(drawn_over(images[index], heat[index], 140) for heat in (first, after))]
    cells = "".join(
        f'<td><img width="140" height="140" alt="" src="data:image/png;base64,{base64.b64encode(p).decode()}"></td>'
        for p in pictures
    )
    return f"<tr><td>{html.escape(truth)}; the file says {html.escape(finding)} {probability:.2f}</td>{cells}</tr>"


def _of(values: Mapping[str, Any], metric: str) -> dict[str, Any]:
    start = f"{metric}["
    return {name[len(start) : -1]: value for name, value in values.items() if name.startswith(start)}


def _figure(value: Any) -> str:
    return "not defined" if value is None else f"{value:.3f}"
