"""A real run, recorded in a file store, and read back from it."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import penjing
import pytest
from mlflow.tracking import MlflowClient
from penjing.contract import OutcomeInfo, RunInfo, StepInfo

from penjing_mlflow import plugin

RECIPE = """
name = "small"

[[steps]]
technique = "finetune"
epochs = 2

[[steps]]
technique = "quantize"
mode = "int8"
"""


@pytest.fixture
def finished(tmp_path: Path) -> penjing.runner.result.RunResult:
    keras.utils.set_random_seed(0)  # weights too: what is red once must be red again
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 24)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int64)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((24,)), layers.Dense(64, activation="relu"), layers.Dense(64, activation="relu")]
        + [layers.Dense(2, activation="softmax")]
    )
    (tmp_path / "small.toml").write_text(RECIPE)
    return penjing.compress(model, data={"x": x, "y": y}, recipe=tmp_path / "small.toml", output=tmp_path / "run")


def test_a_run_is_read_back_with_its_steps_figures_and_files(finished) -> None:
    client = MlflowClient()
    experiment = client.get_experiment_by_name("penjing/model")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.info.run_name == "small, seed 0"
    assert run.data.params["1"] == "finetune" and run.data.params["1.epochs"] == "2"
    assert run.data.params["2.mode"] == "int8"
    compressed = finished.metrics["compressed"]
    assert run.data.metrics["compressed.accuracy"] == compressed["metrics"]["accuracy"]
    assert run.data.metrics["compressed.flash_bytes"] == compressed["flash_bytes"]
    assert run.data.metrics["reference.accuracy_low"] <= run.data.metrics["reference.accuracy"]
    history = client.get_metric_history(run.info.run_id, "step.flash_bytes")
    assert [entry.step for entry in history] == [1, 2]
    assert history[1].value == compressed["flash_bytes"] < history[0].value
    bundle = {file.path for file in client.list_artifacts(run.info.run_id, "bundle")}
    assert {"bundle/model.tflite", "bundle/bundle.json"} <= bundle


def events(folder: Path) -> tuple[RunInfo, StepInfo, OutcomeInfo]:
    return (
        RunInfo(domain="leaks", folder=folder, seed=0, recipe="default", steps=("quantize",), data_source="a sample"),
        StepInfo(number=1, technique="quantize", settings={"mode": "int8", "deep": {"er": 1}}, plugin="penjing"),
        OutcomeInfo(summary="", metric="auc [all]", value=0.9, flash_bytes=800, seconds=1.0, resumed=False),
    )


def test_a_resumed_run_stays_one_run(isolated_host, tmp_path: Path) -> None:
    run, step, outcome = events(tmp_path)
    for _ in range(2):
        host = isolated_host(watcher=plugin)
        host.notify("penjing_after_step", run=run, step=step, outcome=outcome)
        assert not host.problems
    client = MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name("penjing/leaks").experiment_id])
    assert found.data.params["1.deep.er"] == "1"
    assert found.data.metrics["step.validation_auc _all_"] == 0.9


def test_a_store_that_does_not_know_the_run_gets_a_new_one(
    isolated_host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, step, outcome = events(tmp_path)
    host = isolated_host(watcher=plugin)
    host.notify("penjing_after_step", run=run, step=step, outcome=outcome)
    first = json.loads((tmp_path / "mlflow.json").read_text())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "another").as_uri())
    host.notify("penjing_after_step", run=run, step=step, outcome=outcome)
    assert not host.problems
    assert json.loads((tmp_path / "mlflow.json").read_text()) != first


def test_a_store_that_cannot_be_written_stops_no_run(
    isolated_host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, step, outcome = events(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "no-such-scheme://nowhere")
    host = isolated_host(watcher=plugin)
    host.notify("penjing_after_step", run=run, step=step, outcome=outcome)
    (problem,) = host.problems
    assert "no-such-scheme" in problem.reason
