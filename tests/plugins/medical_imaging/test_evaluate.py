"""A finished bundle on other images: its own normalisation, size, order of classes and threshold, none of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from penjing.errors import DataError
from penjing.host import PluginHost
from penjing.reporting import SilentReporter
from penjing.runner.bundle_evaluation import evaluate_bundle, in_order_of
from penjing_medical_imaging import plugin
from penjing_medical_imaging.abstention import Familiarity


def evaluate(bundle: Path, data: Path, *overrides: str) -> dict[str, Any]:
    host = PluginHost.from_modules({"medical-imaging": plugin})
    return evaluate_bundle(
        host,
        host.domain("medical-imaging"),
        bundle,
        data=data,
        recipe=None,
        seed=0,
        overrides=overrides,
        reporter=SilentReporter(),
    )


def darker(trained: Any, folder: Path, *, names: tuple[str, str] = ("no lesion", "lesion"), size: int = 28) -> Path:
    """The sample's test images with half the brightness, as a folder a class in three parts.

    Test images stand in the part test alone; the others are black and white, so that parameters that are fitted to this
    data, and thresholds that are chosen on it, are far from the bundle's.
    """
    raw, y = np.asarray(trained.splits.test.raw), np.asarray(trained.splits.test.y)
    for number, (image, label) in enumerate(zip(raw[..., 0] // 2, y, strict=True)):
        _save(folder / "test" / names[int(label)] / f"{number:04}.png", image, size)
    generator = np.random.default_rng(0)
    for part in ("train", "val"):
        for number in range(40):
            image = (generator.random((28, 28)) < 0.5).astype(np.uint8) * 255
            _save(folder / part / names[number % 2] / f"{number:04}.png", image, size)
    return folder


def _save(path: Path, image: np.ndarray, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR).save(path)


def expected(trained: Any) -> tuple[np.ndarray, np.ndarray]:
    """(truth, probabilities) of the darker images by the bundle's own parameters."""
    parameters = trained.bundle.preprocessing
    images = (np.asarray(trained.splits.test.raw) // 2).astype(np.float32) / 255
    x = ((images - parameters["mean"][0]) / parameters["spread"][0]).astype(np.float32)
    return np.asarray(trained.splits.test.y), np.asarray(trained.bundle.predict(x))[:, 0]


def test_inputs_threshold_and_familiar_images_are_the_bundles(trained: Any, tmp_path: Path) -> None:
    found = evaluate(trained.bundle.folder, darker(trained, tmp_path))["metrics"]
    y, probabilities = expected(trained)
    assert found["accuracy"] == pytest.approx(np.mean((probabilities > 0.5) == y))
    above = probabilities > 0.4  # what the bundle states; the fixture's, not what any validation part would choose
    assert found["operating_point[threshold]"] == 0.4
    assert found["operating_point[sensitivity]"] == pytest.approx(above[y == 1].mean())
    assert found["operating_point[specificity]"] == pytest.approx((~above[y == 0]).mean())
    familiarity = Familiarity.from_json(trained.bundle.preprocessing["familiarity"])
    assert found["abstention[limit]"] == familiarity.limit
    images = (np.asarray(trained.splits.test.raw) // 2).astype(np.float32) / 255
    assert found["abstention[flagged]"] == pytest.approx(np.mean(familiarity.scores(images) > familiarity.limit))


def test_images_of_another_size_are_brought_to_the_bundles(trained: Any, tmp_path: Path) -> None:
    found = evaluate(trained.bundle.folder, darker(trained, tmp_path, size=56))["metrics"]
    y, probabilities = expected(trained)
    # Twice enlarged and brought back, images are nearly what they were.
    assert found["accuracy"] == pytest.approx(np.mean((probabilities > 0.5) == y), abs=0.1)


def test_classes_in_another_order_keep_their_names(trained: Any, tmp_path: Path) -> None:
    folder = darker(trained, tmp_path)
    same = evaluate(trained.bundle.folder, folder)["metrics"]
    turned = evaluate(trained.bundle.folder, folder, 'data.positive="no lesion"')["metrics"]
    assert turned == pytest.approx(same, nan_ok=True)


def test_other_classes_are_refused_by_name(trained: Any, tmp_path: Path) -> None:
    folder = darker(trained, tmp_path, names=("no lesion", "fracture"))
    with pytest.raises(DataError, match="classes are not those of the bundle") as caught:
        evaluate(trained.bundle.folder, folder)
    assert "fracture" in str(caught.value.why)


def test_another_task_is_refused(trained: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="task is ordinal, the bundle's binary"):
        evaluate(trained.bundle.folder, darker(trained, tmp_path), "data.task=ordinal")


def test_columns_of_labels_are_brought_into_the_bundles_order(trained: Any) -> None:
    from dataclasses import replace

    def part(rows: list[list[int]]) -> Any:
        return replace(trained.splits.test, y=np.array(rows, np.float32))

    given = part([[1, 0, 0], [0, 1, 1]])
    splits = replace(trained.splits, labels=("mass", "edema", "hernia"), train=given, validation=given, test=given)
    moved = in_order_of(splits, ("edema", "hernia", "mass"), "multilabel")
    assert moved.labels == ("edema", "hernia", "mass")
    assert np.array_equal(moved.test.y, [[0, 0, 1], [1, 1, 0]])
    with pytest.raises(DataError, match="classes are not those"):
        in_order_of(splits, ("edema", "hernia", "mass", "nodule"), "multilabel")
    numbers = replace(trained.splits.test, y=np.array([0, 1, 2]))
    splits = replace(splits, train=numbers, validation=numbers, test=numbers)
    assert np.array_equal(
        in_order_of(splits, ("edema", "nodule", "hernia", "mass"), "classification").test.y, [3, 0, 2]
    )
