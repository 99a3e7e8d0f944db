"""Recommending on the device: what was taken is left out, what drove each is exact, who is new gets what is popular."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from penjing.bundle.storage import write_bundle
from penjing.contract import ExportSettings, ModelRequest, PredictRequest, Splits
from penjing.errors import BundleError, DataError, UsageError
from penjing.export.litert import to_litert
from penjing.runtime import LoadedBundle, load_bundle
from penjing_recommendation.models import build_model
from penjing_recommendation.predict import catalogue_of_bundle, given_history, predict


@pytest.fixture(scope="module")
def folder(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of an untrained model: what it recommends is arbitrary, and fixed."""
    place = tmp_path_factory.mktemp("bundle") / "bundle"
    import keras

    keras.utils.set_random_seed(3)
    model = build_model(ModelRequest(splits=splits, options={"dimensions": 8, "dropout": 0.0}))
    content = to_litert(model, ExportSettings(mode="dynamic", layers={"items": "int8", "query": "float"}))
    fields = {
        "domain": "recommendation",
        "name": "default",
        "summary": "",
        "task": "ranking",
        "labels": [],
        "inputs": [{"shape": [1, 12], "dtype": "int32", "scale": 0.0, "zero_point": 0, "meaning": ""}],
        "outputs": [{"shape": [1, 2, 9], "dtype": "float32", "scale": 0.0, "zero_point": 0, "meaning": ""}],
        "preprocessing": dict(splits.preprocessing),
        "recipe": "",
        "lineage": {
            "data_source": "sample",
            "data_sha256": "0" * 64,
            "synthetic": True,
            "seed": 1,
            "versions": {},
            "steps": [],
            "created": "2026-01-01T00:00:00+00:00",
        },
        "metrics": {},
        "budget": [],
        "intended_use": "",
        "data_license": "",
    }
    write_bundle(place, content, fields, splits.files)
    return place


@pytest.fixture(scope="module")
def bundle(folder: Path) -> LoadedBundle:
    return load_bundle(folder)


def rows(bundle: LoadedBundle, history: str | None, *inputs: str, **options) -> list[dict]:
    return list(predict(PredictRequest(bundle=bundle, inputs=inputs, options={"history": history, **options})))


def test_it_gives_so_many_with_titles_and_none_that_was_taken(bundle: LoadedBundle) -> None:
    found = rows(bundle, "1,2,3,5", k=7)
    assert [row["rank"] for row in found] == [1, 2, 3, 4, 5, 6, 7]
    assert not {"1", "2", "3", "5"} & {row["item"] for row in found}
    assert all(row["title"].startswith("Made-up ") for row in found)
    assert [row["score"] for row in found] == sorted((row["score"] for row in found), reverse=True)


def test_a_history_longer_than_the_model_sees_is_left_out_whole(bundle: LoadedBundle) -> None:
    history = [str(number) for number in range(1, 41)]
    assert not set(history) & {row["item"] for row in rows(bundle, ",".join(history), k=50)}


def test_what_drove_it_is_the_fall_of_the_files_own_score(bundle: LoadedBundle) -> None:
    catalogue = catalogue_of_bundle(bundle)
    history = ["1", "2", "3", "5"]
    (best,) = rows(bundle, ",".join(history), k=1, reasons=4)
    number = catalogue.numbers[best["item"]]

    def score(names: list[str]) -> float:
        x = np.zeros((1, 12), np.int32)
        x[0, -4:] = [catalogue.numbers.get(name, 0) for name in names]
        outputs = bundle.predict(x)[0]
        return float(outputs[0][outputs[1] == number][0])

    for place, name in enumerate(history):
        without = [*history[:place], "nothing", *history[place + 1 :]]
        fall = score(history) - score(without)
        title = catalogue.titles[catalogue.numbers[name] - 1]
        assert (f"{title} (+{fall:.2f})" in best["because"]) == (fall > 0)


@pytest.mark.parametrize(("history", "why"), [("", "the history is empty"), ("no,such", "knows none of the history")])
def test_who_is_new_gets_the_most_popular_and_is_told(bundle: LoadedBundle, history: str, why: str) -> None:
    found = rows(bundle, history, k=3)
    catalogue = catalogue_of_bundle(bundle)
    assert [row["item"] for row in found] == list(catalogue.items[:3])
    assert why in found[0]["because"] and "the most popular" in found[0]["because"]


def test_items_that_it_does_not_know_are_named(bundle: LoadedBundle) -> None:
    found = rows(bundle, "1,Solaris,2", k=2)
    assert found[0]["note"] == "1 of 3 of the history unknown: Solaris"
    assert [row["item"] for row in found] == [row["item"] for row in rows(bundle, "1,2", k=2)]


def test_a_history_from_a_file(bundle: LoadedBundle, tmp_path: Path) -> None:
    path = tmp_path / "history.txt"
    path.write_text("1\n2, 3\n\n5\n")
    assert given_history(None, (str(path),)) == ["1", "2", "3", "5"]
    assert rows(bundle, None, str(path)) == rows(bundle, "1,2,3,5")


def test_wrong_calls_are_refused(bundle: LoadedBundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no history"):
        rows(bundle, None)
    with pytest.raises(UsageError, match="given twice"):
        rows(bundle, "1", "file.txt")
    with pytest.raises(UsageError, match="-k cannot be 0"):
        rows(bundle, "1", k=0)
    with pytest.raises(DataError, match="cannot be read"):
        rows(bundle, None, str(tmp_path / "none.txt"))


def test_a_bundle_without_its_items_is_refused(folder: Path, tmp_path: Path) -> None:
    whole = load_bundle(folder)
    files = {name: content for name, content in whole.files.items() if name != "items.csv"}
    with pytest.raises(BundleError, match=r"no items\.csv"):
        catalogue_of_bundle(LoadedBundle(folder, whole.manifest, files))


def test_the_device_needs_neither_tensorflow_nor_pandas(folder: Path) -> None:
    code = (
        "import sys, json\n"
        "from penjing.runtime import load_bundle\n"
        "from penjing.contract import PredictRequest\n"
        "from penjing_recommendation.predict import predict\n"
        f"bundle = load_bundle({str(folder)!r})\n"
        "found = list(predict(PredictRequest(bundle=bundle, inputs=(), options={'history': '1'})))\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'scipy'} & set(sys.modules)\n"
        "print(json.dumps([len(found), sorted(heavy)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [10, []]
