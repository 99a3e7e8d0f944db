"""A bundle on images, on the device: numpy, scipy, Pillow and, for DICOM, pydicom; no TensorFlow."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import PredictRequest
from penjing.errors import DataError, UsageError
from penjing_datasets import dicom, images
from penjing_datasets.errors import DatasetError
from penjing_medical_imaging.abstention import Familiarity
from penjing_medical_imaging.heat_maps import heat_maps
from penjing_medical_imaging.inputs import Inputs
from penjing_medical_imaging.operating_point import predictive_values
from penjing_medical_imaging.overlay import drawn_over

USE = "not for clinical use"


def predict(request: PredictRequest) -> Iterator[dict[str, Any]]:
    """Rows for each image (each frame of a DICOM file): decision, probability, the operating point, whether to abstain.

    Where an image may have several labels, a row for each. With `--explain` the heat map of the decision (of the
    likeliest label) is written as PNG.

    Raises:
        DataError: A file cannot be read as an image.
        UsageError: No file is given, or an option is out of range.
    """
    if not request.inputs:
        raise UsageError("there is nothing to look at", hint="name one or more images: .png, .jpg, .dcm")
    given = request.options.get("prevalence")
    if given is not None and not 0 < given < 1:
        raise UsageError(f"--prevalence cannot be {given}", hint="it is a share, between 0 and 1")
    folder = Path(request.options.get("heat_maps") or ".")
    if request.options.get("explain") and not folder.is_dir():
        raise UsageError("there is no such folder", where=str(folder), hint="--heat-maps names one that exists")
    bundle = request.bundle
    inputs = Inputs.from_json(bundle.preprocessing)
    familiarity = Familiarity.from_json(bundle.preprocessing["familiarity"])
    prevalence = given or float(bundle.preprocessing["prevalence"])
    for name in request.inputs:
        frames = _frames(Path(name))
        for number, frame in enumerate(frames, start=1):
            image = inputs.prepared(frame)
            x = inputs.normalised(image[None])
            probabilities = np.asarray(bundle.predict(x), np.float64).reshape(-1)
            score = float(familiarity.scores(image[None])[0])
            about = {"file": name, **({"frame": number} if len(frames) > 1 else {})}
            rows = _decisions(bundle, probabilities, prevalence)
            shown = max(range(len(rows)), key=lambda index: rows[index]["probability"])
            heat_map = ""
            if request.options.get("explain"):
                output = shown if len(rows) > 1 else _explained(bundle, probabilities)
                stem = Path(name).name + (f".{number}" if len(frames) > 1 else "")
                heat_map = _explain(bundle, x, inputs, frame, output, folder / f"{stem}.heat.png")
            for index, row in enumerate(rows):
                yield {
                    **about,
                    **row,
                    "abstain": score > familiarity.limit,
                    "unfamiliarity": round(score, 3),
                    "limit": round(familiarity.limit, 3),
                    **({"heat_map": heat_map if index == shown else ""} if heat_map else {}),
                    "use": USE,
                }


def _frames(path: Path) -> list[np.ndarray]:
    try:
        if path.is_dir():
            raise DatasetError("this is a folder", where=str(path), hint="name the images in it")
        if path.suffix.lower() in dicom.SUFFIXES or dicom.is_dicom(path):
            return dicom.read_dicom(path).frames
        return [images.read_image(path)]
    except DatasetError as error:
        raise DataError(error.what, where=error.where, why=error.why, hint=error.hint) from error


def _decisions(bundle: Any, probabilities: np.ndarray, prevalence: float) -> list[dict[str, Any]]:
    task = bundle.manifest.task
    if task == "binary":
        point = _point(bundle, "", prevalence)
        finding = probabilities[0] > point["threshold"]
        return [
            {
                "decision": bundle.labels[int(finding)],
                "finding": bundle.labels[1],
                "probability": round(float(probabilities[0]), 4),
                **_rounded(point),
            }
        ]
    if task == "multilabel":
        rows = []
        for label, probability in zip(bundle.labels, probabilities, strict=True):
            point = _point(bundle, f"{label} ", prevalence)
            decision = "yes" if probability > point["threshold"] else "no"
            row = {"label": label, "decision": decision, "probability": round(float(probability), 4)}
            rows.append({**row, **_rounded(point)})
        return rows
    best = int(probabilities.argmax())
    point = _point(bundle, f"{bundle.labels[best]} ", prevalence)
    del point["threshold"]  # the likeliest class is decided
    return [{"decision": bundle.labels[best], "probability": round(float(probabilities[best]), 4), **_rounded(point)}]


def _point(bundle: Any, start: str, prevalence: float) -> dict[str, float]:
    """The operating point as it was measured on the test part when the bundle was made."""
    measured = bundle.manifest.metrics

    def value(name: str, fallback: float) -> float:
        entry = measured.get(f"operating_point[{start}{name}]")
        return fallback if entry is None else float(entry.estimate)

    sensitivity, specificity = value("sensitivity", float("nan")), value("specificity", float("nan"))
    return {
        "threshold": value("threshold", 0.5),
        "sensitivity": sensitivity,
        "specificity": specificity,
        f"ppv at {prevalence:g}": predictive_values(sensitivity, specificity, prevalence)[0],
    }


def _rounded(point: dict[str, float]) -> dict[str, float | str]:
    return {name: round(value, 4) if np.isfinite(value) else "not known" for name, value in point.items()}


def _explained(bundle: Any, probabilities: np.ndarray) -> int:
    """The output that the heat map is about: the finding, or the decided class."""
    return 0 if bundle.manifest.task == "binary" else int(probabilities.argmax())


def _explain(bundle: Any, x: np.ndarray, inputs: Inputs, frame: np.ndarray, output: int, path: Path) -> str:
    maps, _ = heat_maps(bundle, x)
    content = drawn_over(images.square(frame, inputs.fit), maps[0, :, :, output])
    try:
        # Written beside and renamed: a killed process leaves no half picture under the picture's name.
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as stream:
            stream.write(content)
        os.replace(stream.name, path)
    except OSError as error:
        raise UsageError("the heat map cannot be written", where=str(path), why=str(error)) from error
    return str(path)
