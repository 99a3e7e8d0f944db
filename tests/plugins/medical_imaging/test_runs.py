"""Whole runs on every kind of set, to a verified int8 file; and what a run leaves names no patient."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from dicom_files import write_dicom
from penjing import load_bundle
from penjing.contract import PredictRequest
from penjing.host import PluginHost
from penjing.report import load_metrics_schema
from penjing.reporting import SilentReporter
from penjing.runner.domain_run import run_domain
from penjing_medical_imaging import NOT_CLINICAL, plugin
from penjing_medical_imaging.predict import predict

SHORT = (
    "model.stem_filters=8",
    "model.filters=16",
    "model.blocks=1",
    "reference.epochs=3",
    "reference.min_updates=0",
    "reference.batch_size=16",
    "steps.1.epochs=1",
    "steps.1.min_updates=0",
    "steps.1.batch_size=16",
    "steps.1.calibration_examples=40",
)


def run(data: Path, output: Path, *more: str, recipe: str = "default") -> dict[str, Any]:
    host = PluginHost.from_modules({"medical-imaging": plugin})
    result = run_domain(
        host,
        host.domain("medical-imaging"),
        data=data,
        output=output,
        recipe=recipe,
        budget="flash=24KB,drop=1",
        overrides=(*SHORT, *more),
        reporter=SilentReporter(),
    )
    assert (output / "report.html").is_file()
    jsonschema.validate(result.metrics, load_metrics_schema())
    return dict(result.metrics)


def striped(folder: Path, name: str, size: int, *, channels: int, outputs: int, several: bool = False) -> Path:
    """A MedMNIST file whose images have a bright stripe for each class."""
    generator = np.random.default_rng(0)
    made = {}
    band = size // outputs
    for key, count in (("train", 96), ("val", 40), ("test", 44)):
        images = generator.integers(0, 130, (count, size, size) if channels == 1 else (count, size, size, 3)).astype(
            np.uint8
        )
        truth = np.eye(outputs, dtype=bool)[np.arange(count) % outputs]
        if several:
            truth |= generator.random(truth.shape) < 0.2
        for row, column in zip(*np.nonzero(truth), strict=True):
            images[row, column * band : (column + 1) * band] //= 2
            images[row, column * band : (column + 1) * band] += 120
        made[f"{key}_images"] = images
        made[f"{key}_labels"] = truth.astype(np.uint8) if several else truth.argmax(axis=1)[:, None].astype(np.uint8)
    np.savez_compressed(folder / f"{name}.npz", **made)
    return folder / f"{name}.npz"


@pytest.mark.parametrize(
    ("name", "size", "channels", "outputs", "task"),
    [
        ("bloodmnist", 28, 3, 8, "classification"),
        ("chestmnist_64", 64, 1, 14, "multilabel"),
    ],
)
def test_a_set_of_any_kind_runs_to_a_verified_file(
    tmp_path: Path, name: str, size: int, channels: int, outputs: int, task: str
) -> None:
    data = striped(tmp_path, name, size, channels=channels, outputs=outputs, several=task == "multilabel")
    metrics = run(data, tmp_path / "run")
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.manifest.task == task
    assert len(bundle.model_bytes) <= 24_000
    assert len(bundle.labels) == outputs
    figures = metrics["compressed"]["metrics"]
    assert {"auc", "accuracy", "balanced_accuracy", "calibration[ece]", "calibration[brier]"} <= set(figures)
    assert {entry["name"] for entry in metrics["baselines"]} == {
        "logistic regression on pixels",
        "random forest on pixels",
    }
    assert "grades[quadratic kappa]" not in figures
    first = bundle.labels[0]
    assert (f"operating_point[{first} threshold]" in figures) == (task == "multilabel")
    assert f"auc_delong[{first}]" in metrics["compressed"]["intervals"]
    for pair in metrics["conformance"]["pairs"]:
        # The model computes with the file's integers; XNNPACK alone rounds otherwise, and the task is hardly learned.
        exact = {"Keras", "LiteRT reference"} == set(pair["runtimes"])
        assert pair["largest_steps"] == 0 if exact else pair["equal_decisions"] >= 0.95 or pair["largest_steps"] <= 3
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Spearman" in page and "Reliability" in page and NOT_CLINICAL in page
    from PIL import Image

    image = np.load(data)["test_images"][0]
    Image.fromarray(image).save(tmp_path / "x.png")
    rows = list(predict(PredictRequest(bundle=bundle, inputs=(str(tmp_path / "x.png"),), options={})))
    assert len(rows) == (outputs if task == "multilabel" else 1)
    assert all(row["decision"] in (*bundle.labels, "yes", "no") for row in rows)


SECRETS = ("Strangelove", "PID-90210", "19510203", "90210")


def test_nothing_in_a_run_folder_names_a_patient(tmp_path: Path) -> None:
    """Names, numbers and days of birth stand in headers and in the names of files; a broken file is among them."""
    pytest.importorskip("pydicom", reason="DICOM needs pydicom")
    generator = np.random.default_rng(0)
    for number in range(60):
        patient, grade = number // 2, (number // 2) % 3
        pixels = generator.integers(0, 1500, (32, 32))
        pixels[8:24, 8:24] += 1200 * grade
        write_dicom(
            tmp_path / "archive" / f"grade {grade}" / f"Strangelove_{number:02}_90210.dcm",
            pixels,
            patient=f"PID-90210-{patient}",
            name=f"Strangelove^{patient}",
        )
    (tmp_path / "archive" / "grade 0" / "Strangelove_broken.dcm").write_bytes(b"\0" * 128 + b"DICM broken")
    metrics = run(tmp_path / "archive", tmp_path / "run", "data.task=ordinal")
    kappa = metrics["compressed"]["intervals"]["grades[quadratic kappa]"]
    assert kappa["low"] <= kappa["estimate"] <= kappa["high"]
    assert any("skipped: file" in note for note in metrics["data"]["notes"])
    assert any("split by patient: 30 patients" in note for note in metrics["data"]["notes"])
    assert {row["slice"] for row in metrics["audit"]} >= {"sex", "manufacturer", "brightness"}
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        for name, content in _contents(path):
            for secret in SECRETS:
                found = secret.encode() in content or secret.encode("utf-16-le") in content
                assert not found, f"{secret} stands in {path.name} {name}"
                assert secret not in str(path)
    manifest = json.loads((tmp_path / "run" / "bundle" / "bundle.json").read_text())
    assert manifest["intended_use"] == NOT_CLINICAL


def _contents(path: Path) -> list[tuple[str, bytes]]:
    content = path.read_bytes()
    found = [("", content)]
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found += [(name, archive.read(name)) for name in archive.namelist()]
    return found
