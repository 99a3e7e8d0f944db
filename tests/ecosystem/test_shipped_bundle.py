"""A plugin ships a bundle: `predict` takes it where the caller has no other, and says so when it is missing."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

from penjing.bundle import write_bundle
from penjing.contract import ExportSettings
from penjing.export.litert import to_litert
from penjing.runtime import LiteRTModel

PLUGIN = """
from penjing import hookimpl
from penjing.contract import Domain, Metric

@hookimpl
def penjing_domains():
    yield Domain(
        name="leaks",
        summary="A domain for tests.",
        task="classification",
        load_data="nowhere:load",
        build_model="nowhere:build",
        metrics=(Metric(name="accuracy", function="nowhere:accuracy", direction="higher", primary=True),),
        recipes={},
        predict="penjing_leaks.predict:predict",
        pretrained="penjing_leaks:pretrained",
    )
"""
PREDICT = """
import numpy

def predict(request):
    for name in request.inputs:
        scores = request.bundle.predict(numpy.float32([[float(name), 0]]))[0]
        yield {"input": name, "label": request.bundle.labels[int(scores.argmax())]}
"""


def write(folder: Path, labels: list[str]) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(2, activation="softmax", use_bias=False)(inputs)
    model = keras.Model(inputs, outputs)
    model.set_weights([np.array([[5.0, -5.0], [0.0, 0.0]], np.float32)])
    content = to_litert(model, ExportSettings())
    file = LiteRTModel(content)
    entry = {"meaning": "", "scale": 0.0, "zero_point": 0, "dtype": "float32"}
    fields = {
        "domain": "leaks",
        "name": "shipped",
        "task": "classification",
        "labels": labels,
        "inputs": [{**entry, "shape": list(file.inputs[0].shape)}],
        "outputs": [{**entry, "shape": list(file.outputs[0].shape)}],
        "recipe": 'name = "shipped"\n',
        "lineage": {
            "data_source": "toys",
            "data_sha256": "0" * 64,
            "synthetic": True,
            "seed": 0,
            "versions": {},
            "steps": [],
            "created": "2026-01-01T00:00:00+00:00",
        },
    }
    write_bundle(folder, content, fields)


@pytest.fixture
def plugin(site) -> Path:
    site.add(
        "penjing-leaks",
        PLUGIN,
        entry_point="leaks",
        keywords="penjing-domain",
        extra_files={"predict.py": textwrap.dedent(PREDICT)},
    )
    return site.folder / "penjing_leaks"


def test_the_shipped_bundle_predicts_where_there_is_no_other(site, plugin: Path) -> None:
    write(plugin / "pretrained", ["leak", "dry"])
    done = site.run("leaks", "predict", "3", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["predictions"] == [{"input": "3", "label": "leak"}]
    assert Path(document["bundle"]) == plugin / "pretrained"
    assert "the one that comes with the plugin" in " ".join(site.run("leaks", "predict", "--help").stdout.split())


def test_a_run_of_ones_own_comes_before_it(site, plugin: Path) -> None:
    write(plugin / "pretrained", ["leak", "dry"])
    write(site.folder / "runs/leaks/mine/bundle", ["burst", "dry"])
    done = site.run("leaks", "predict", "3", "--json")
    assert json.loads(done.stdout)["predictions"] == [{"input": "3", "label": "burst"}]


def test_a_bundle_that_was_not_packed_is_the_plugins_fault(site, plugin: Path) -> None:
    done = site.run("leaks", "predict", "3")
    assert done.returncode == 2
    assert "the bundle that comes with the plugin is missing" in done.stderr
    assert "penjing-leaks 1.2.3" in done.stderr and "Traceback" not in done.stderr
