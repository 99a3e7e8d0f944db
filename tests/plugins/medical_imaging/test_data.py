"""Loading: the task is found, patients stay apart, copies are reported, and what cannot be known is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from penjing.contract import DataRequest, Splits
from penjing.errors import DataError, RecipeError
from penjing_medical_imaging.data import load_data
from penjing_medical_imaging.inputs import preprocess


def load(path: Path | None = None, seed: int = 0, **options: Any) -> Splits:
    return load_data(DataRequest(path=path, seed=seed, options=options))


def medmnist(
    folder: Path, name: str, *, size: int = 28, colour: bool = False, classes: int = 2, labels: int = 1, copies: int = 0
) -> Path:
    """A file in MedMNIST's layout; `copies` of the training images stand in validation too."""
    generator = np.random.default_rng(0)
    made = {}
    for key, count in (("train", 60), ("val", 24), ("test", 30)):
        shape = (count, size, size, 3) if colour else (count, size, size)
        made[f"{key}_images"] = generator.integers(0, 256, shape).astype(np.uint8)
        values = np.arange(count * labels).reshape(count, labels) % (2 if labels > 1 else classes)
        made[f"{key}_labels"] = values.astype(np.uint8)
    if labels > 1:
        for key in ("train", "val", "test"):
            made[f"{key}_labels"] = generator.integers(0, 2, made[f"{key}_labels"].shape).astype(np.uint8)
    made["val_images"][:copies] = made["train_images"][:copies]
    path = folder / f"{name}.npz"
    np.savez_compressed(path, **made)
    return path


def pictures(folder: Path, patients: int = 12, *, each: int = 3, size: int = 20, **columns: list[str]) -> Path:
    """A folder a class with a table of patients."""
    generator = np.random.default_rng(1)
    rows = []
    for number in range(patients * each):
        label = "pneumonia" if (number // each) % 2 else "normal"
        path = folder / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (size, size)).astype(np.uint8)).save(path)
        rows.append(f"{label}/{number}.png,p{number // each}")
    (folder / "labels.csv").write_text("\n".join(["path,patient", *rows]))
    return folder


def said(splits: Splits, words: str) -> bool:
    return any(words in note for note in splits.notes)


@pytest.mark.parametrize(
    ("name", "kind", "task", "shape"),
    [
        ("pneumoniamnist", {"classes": 2}, "binary", (28, 28, 1)),
        ("bloodmnist", {"classes": 8, "colour": True}, "classification", (28, 28, 3)),
        ("retinamnist_128", {"classes": 5, "colour": True, "size": 128}, "ordinal", (64, 64, 3)),
        ("chestmnist_64", {"labels": 14, "size": 64}, "multilabel", (64, 64, 1)),
        ("organcmnist_224", {"classes": 11, "size": 224}, "classification", (64, 64, 1)),
        ("somebody", {"classes": 3}, "classification", (28, 28, 1)),
    ],
)
def test_any_medmnist_set_is_loaded_by_its_name_or_its_labels(
    tmp_path: Path, name: str, kind: dict[str, Any], task: str, shape: tuple[int, ...]
) -> None:
    splits = load(medmnist(tmp_path, name, **kind))
    assert splits.task == task
    assert splits.train.x.shape == (60, *shape)
    assert abs(float(splits.train.x.mean())) < 1e-3 and float(splits.train.x.std()) == pytest.approx(1, abs=0.01)
    assert said(splits, "names no patients: it cannot be known")
    assert splits.extra["any_orientation"] == (name == "bloodmnist")


def test_the_task_can_be_told(tmp_path: Path) -> None:
    path = medmnist(tmp_path, "somebody", classes=4)
    assert load(path, task="ordinal").task == "ordinal"
    with pytest.raises(DataError, match="needs two classes, there are 4"):
        load(path, task="binary")


def test_copies_across_parts_are_counted_and_the_official_split_is_kept(tmp_path: Path) -> None:
    path = medmnist(tmp_path, "pneumoniamnist", copies=5)
    kept, dropped = load(path), load(path, drop_copies=True)
    assert said(kept, "5 images stand in train and, pixel for pixel, in validation too; the split is kept")
    assert (len(kept.train), len(kept.validation)) == (60, 24)
    assert (len(dropped.train), len(dropped.validation)) == (55, 24)
    assert said(dropped, "5 images were taken out of training")


def test_pneumoniamnists_eight_copies_are_reported(penjing_data: Path) -> None:
    path = penjing_data / "medical_imaging" / "pneumoniamnist.npz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    splits = load(path)
    assert said(splits, "8 images stand in train and, pixel for pixel, in validation too")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (4708, 524, 624)
    assert splits.labels == ("normal", "pneumonia")


def test_no_patient_stands_in_two_parts(tmp_path: Path) -> None:
    splits = load(pictures(tmp_path))
    parts = [set(splits.train.groups), set(splits.validation.groups), set(splits.test.groups)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert len(set.union(*parts)) == 12
    assert said(splits, "split by patient: 12 patients")


def test_a_picture_under_two_patients_keeps_them_together(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    for number in range(0, 33, 3):  # each patient shares a picture with the next of the class
        content = (folder / ("pneumonia" if (number // 3) % 2 else "normal") / f"{number}.png").read_bytes()
        partner = number + 6
        if partner < 36:
            (folder / ("pneumonia" if (partner // 3) % 2 else "normal") / f"{partner + 1}.png").write_bytes(content)
    with pytest.raises(DataError, match="images of 2 patients only"):
        load(folder)


def test_a_given_split_that_shares_patients_is_refused(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    rows = (folder / "labels.csv").read_text().splitlines()
    parts = ["train"] * 20 + ["val"] * 8 + ["test"] * 8
    (folder / "labels.csv").write_text(
        "\n".join(["path,patient,split", *(f"{r},{p}" for r, p in zip(rows[1:], parts, strict=True))])
    )
    with pytest.raises(DataError, match="patients stand in two parts"):
        load(folder)


def test_one_patient_is_too_few(tmp_path: Path) -> None:
    folder = pictures(tmp_path, patients=2)
    rows = (folder / "labels.csv").read_text().replace(",p1", ",p0")
    (folder / "labels.csv").write_text(rows)
    with pytest.raises(DataError, match="images of 1 patient only"):
        load(folder)


def test_without_patients_it_says_that_it_cannot_know(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    (folder / "labels.csv").unlink()
    splits = load(folder)
    assert splits.train.groups is None
    assert said(splits, "no patient is known")


def test_copies_stand_in_one_part_where_the_split_is_ours(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    (folder / "labels.csv").unlink()
    for file in list((folder / "normal").glob("*.png")):
        (folder / "normal" / f"copy_of_{file.name}").write_bytes(file.read_bytes())
    splits = load(folder)
    contents = [{image.tobytes() for image in part.raw} for part in (splits.train, splits.validation, splits.test)]
    assert not contents[0] & contents[1] and not contents[0] & contents[2] and not contents[1] & contents[2]
    assert said(splits, "18 images are exact copies of others")


def test_columns_become_slices_and_nothing_names_a_patient(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    rows = (folder / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").write_text(
        "\n".join(["path,patient,site", *(f"{row},{'A' if i % 2 else 'B'}" for i, row in enumerate(rows[1:]))])
    )
    splits = load(folder)
    assert splits.slices == ("site",)
    assert set(splits.test.slices["site"]) <= {"A", "B"}
    assert not set(splits.train.groups) & {f"p{n}" for n in range(12)}


@pytest.mark.parametrize(
    ("first", "second", "labels"),
    [("normal", "malignant", ("normal", "malignant")), ("benign", "aggressive", ("benign", "aggressive"))],
)
def test_the_class_that_is_no_finding_comes_first(tmp_path: Path, first: str, second: str, labels: tuple) -> None:
    folder = pictures(tmp_path)
    (folder / "labels.csv").unlink()
    (folder / "normal").rename(folder / f"_{first}")
    (folder / "pneumonia").rename(folder / second)
    (folder / f"_{first}").rename(folder / first)
    assert load(folder).labels == labels
    assert load(folder, positive=first).labels == labels[::-1]


def test_several_labels_in_a_table(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    names = ["No Finding", "mass", "mass|fluid", "fluid"]
    rows = (folder / "labels.csv").read_text().splitlines()[1:]
    (folder / "labels.csv").write_text(
        "\n".join(["path,patient,label", *(f"{row},{names[i % 4]}" for i, row in enumerate(rows))])
    )
    splits = load(folder)
    assert splits.task == "multilabel" and splits.labels == ("fluid", "mass")
    y = np.concatenate([splits.train.y, splits.validation.y, splits.test.y])
    assert sorted(map(tuple, y.astype(int))) == sorted([(0, 0), (0, 1), (1, 1), (1, 0)] * 9)


def test_one_class_is_refused(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    for file in (folder / "pneumonia").glob("*"):
        file.unlink()
    (folder / "labels.csv").unlink()
    with pytest.raises(DataError, match="one class only, 'normal'"):
        load(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "regression"}, "task"),
        ({"size": 5}, "size"),
        ({"fit": "bend"}, "fit"),
        ({"colour": 1}, "unknown option"),
        ({"prevalence": 0.0}, "prevalence"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(None, patients=12, **options)


@pytest.mark.parametrize("name", ["gone.npz", "model.pkl", "text.npz"])
def test_what_is_no_data_is_refused(tmp_path: Path, name: str) -> None:
    if not name.startswith("gone"):
        (tmp_path / name).write_text("x")
    with pytest.raises(DataError):
        load(tmp_path / name)


def changed(folder: Path, name: str, change: Any) -> Path:
    """A file of two classes whose arrays are changed."""
    with np.load(medmnist(folder, name)) as read:
        made = {key: change(key, values) for key, values in read.items()}
    np.savez(folder / f"{name}.npz", **made)
    return folder / f"{name}.npz"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda key, v: v + 1 if "labels" in key else v, "smallest class number is 1"),
        (lambda key, v: v * 2 if "labels" in key else v, "training part has no class 1"),
        (lambda key, v: v * 0 if key == "val_labels" else v, "validation part has fewer than two classes"),
        (lambda key, v: v * 0 if "images" in key else v, "all training images are of one grey"),
        (lambda key, v: v[:, :4, :4] if "images" in key else v, "4 x 4 pixels are too small"),
        (lambda key, v: v / 255 if "images" in key else v, "the images are float64"),
    ],
)
def test_a_file_that_cannot_be_learned_from_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(changed(tmp_path, "own", change))


@pytest.mark.parametrize("kind", ["flat", "float", "bool", "one-hot"])
def test_labels_in_other_forms_are_the_same_classes(tmp_path: Path, kind: str) -> None:
    def form(key: str, values: np.ndarray) -> np.ndarray:
        if "labels" not in key:
            return values
        return {
            "flat": values[:, 0],
            "float": values.astype(np.float32),
            "bool": values.astype(bool),
            "one-hot": np.eye(2, dtype=np.uint8)[values[:, 0]],
        }[kind]

    splits = load(changed(tmp_path, "own", form))
    assert splits.task == "binary"
    assert np.array_equal(splits.train.y, np.arange(60) % 2)
    assert said(splits, "they are taken as classes") == (kind == "one-hot")
    if kind == "one-hot":
        assert load(tmp_path / "own.npz", task="multilabel").task == "multilabel"


@pytest.mark.parametrize("patients", [True, False])
def test_a_split_without_validation_gets_one_out_of_training(tmp_path: Path, patients: bool) -> None:
    folder = pictures(tmp_path, patients=16)
    rows = [row.split(",") for row in (folder / "labels.csv").read_text().splitlines()[1:]]
    parts = ["test" if int(patient[1:]) < 4 else "train" for _, patient in rows]
    lines = [
        ",".join([path, *([patient] if patients else []), part])
        for (path, patient), part in zip(rows, parts, strict=True)
    ]
    (folder / "labels.csv").write_text("\n".join(["path,patient,split" if patients else "path,split", *lines]))
    splits = load(folder)
    assert len(splits.test) == 12 and len(splits.train) + len(splits.validation) == 36
    assert 2 <= len(splits.validation) <= 12
    assert said(splits, "no validation part: one was drawn from training")
    if patients:
        assert not set(splits.train.groups) & set(splits.validation.groups)


def test_a_table_that_is_separated_by_semicolons_is_read(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    (folder / "labels.csv").write_text((folder / "labels.csv").read_text().replace(",", ";"))
    assert said(load(folder), "split by patient: 12 patients")


def test_the_sample_is_seeded_synthetic_and_has_patients() -> None:
    one, same, other = load(patients=40), load(patients=40), load(patients=40, seed=1)
    assert one.synthetic and "synthetic" in one.source and said(one, "Synthetic images")
    assert one.sha256 == same.sha256 != other.sha256
    assert np.array_equal(one.train.x, same.train.x)
    assert not set(one.train.groups) & set(one.test.groups)


def test_large_parts_are_thinned_but_the_test_part_and_it_is_said(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    made = {}
    for key in ("train", "val", "test"):
        made[f"{key}_images"] = generator.integers(0, 256, (150, 28, 28)).astype(np.uint8)
        made[f"{key}_labels"] = (np.arange(150) % 2)[:, None].astype(np.uint8)
    np.savez(tmp_path / "big.npz", **made)
    splits = load(tmp_path / "big.npz", most_train=100, most_validation=120)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (100, 120, 150)
    assert said(splits, "of 150 training images 100 were drawn")
    assert said(splits, "of 150 validation images 120 were drawn")


def test_the_device_prepares_images_as_training_did(tmp_path: Path) -> None:
    splits = load(pictures(tmp_path, size=20), normalise="image")
    assert np.allclose(preprocess(splits.test.raw, splits.preprocessing), splits.test.x, atol=1e-6)
