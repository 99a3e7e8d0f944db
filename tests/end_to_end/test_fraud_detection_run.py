"""Fraud detection from its built-in sample to alerts, by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import penjing
from penjing.report import load_metrics_schema
from penjing_datasets.transaction_simulation import simulate_transactions

CHECKOUT = Path(__file__).resolve().parents[2]
SHORT = (
    "data.customers=400",
    "data.terminals=800",
    "data.days=80",
    "model.units=24",
    "reference.epochs=4",
    "reference.min_updates=0",
    "steps.1.epochs=3",
    "steps.1.min_updates=0",
    "steps.1.teacher.members=1",
    "steps.1.teacher.folds=2",
    "steps.1.teacher.parameters.max_iter=20",
    "steps.2.calibration_examples=500",
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the plugin is found: installed, or its metadata on the path as an installation would write it."""
    try:
        metadata.distribution("penjing-fraud-detection")
    except metadata.PackageNotFoundError:
        site = tmp_path_factory.mktemp("site")
        info = site / "penjing_fraud_detection-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: penjing-fraud-detection\nVersion: 0.1.0\nKeywords: penjing-domain\n"
        )
        (info / "entry_points.txt").write_text("[penjing]\nfraud-detection = penjing_fraud_detection.plugin\n")
        source = CHECKOUT / "plugins/fraud_detection/src"
        paths = [str(site), str(source), os.environ.get("PYTHONPATH", "")]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return dict(os.environ)


def penjing_fraud(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penjing", "fraud-detection", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def run(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """(run folder, the document that was printed)."""
    output = tmp_path_factory.mktemp("fraud") / "run"
    settings = [part for setting in SHORT for part in ("--set", setting)]
    done = penjing_fraud(environment, "run", "--output", output, *settings, "--json", "--budget", "flash=8KB,drop=0.5")
    assert done.returncode == 0, done.stderr
    return output, json.loads(done.stdout)


def test_the_document_fits_its_schema_and_has_the_domains_figures(run: tuple[Path, dict]) -> None:
    _, document = run
    jsonschema.validate(document, load_metrics_schema())
    assert document["data"]["synthetic"]
    assert document["recipe"]["steps"] == ["distill", "quantize"]
    figures = document["compressed"]["metrics"]
    assert {"average_precision", "auc", "card_precision_at_100", "calibration[brier]"} <= set(figures)
    assert figures["auc"] > 0.6
    interval = document["compressed"]["intervals"]["average_precision"]
    assert interval["low"] <= interval["estimate"] <= interval["high"]
    assert "groups" in interval["method"]


def test_the_file_is_int8_and_within_its_budget(run: tuple[Path, dict]) -> None:
    folder, document = run
    bundle = penjing.load_bundle(folder / "bundle")
    assert bundle.manifest.inputs[0].dtype == bundle.manifest.outputs[0].dtype == "int8"
    assert document["compressed"]["flash_bytes"] == len(bundle.model_bytes) <= 8_000


def test_a_table_is_scored_with_alerts_and_reasons_and_no_card_is_named(
    run: tuple[Path, dict], environment: dict[str, str], tmp_path: Path
) -> None:
    made = simulate_transactions(customers=100, terminals=200, days=50, seed=9)
    times = np.datetime_as_string(made.time.astype("datetime64[s]"))
    lines = [
        f"{time},card-4929-{customer},shop-{terminal},{amount}"
        for time, customer, terminal, amount in zip(times, made.customer, made.terminal, made.amount, strict=True)
    ]
    path = tmp_path / "tx.csv"
    path.write_text("\n".join(["TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT", *lines]) + "\n")
    done = penjing_fraud(
        environment, "predict", path, "--bundle", run[0] / "bundle", "--alerts", "2", "--alerts-only", "--json"
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["predictions"]
    assert len(rows) == 2 * 50
    assert all(row["alert"] for row in rows)
    assert "4929" not in done.stdout.replace(str(path), "")
    for file in run[0].rglob("*"):
        if file.is_file():
            assert b"card-" not in file.read_bytes()


def test_what_predicts_loads_nothing_heavy(environment: dict[str, str]) -> None:
    code = (
        "import sys, penjing_fraud_detection.predict, penjing_fraud_detection.plugin;"
        "print([m for m in ('tensorflow', 'keras', 'sklearn', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"
