"""Recommendation from its built-in sample to a list of titles, by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest

import penjing
from penjing.report import load_metrics_schema

CHECKOUT = Path(__file__).resolve().parents[2]
SHORT = ("data.users=120", "data.items=100", "data.history=10", "reference.epochs=2", "reference.min_updates=0")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the plugin is found: installed, or its metadata on the path as an installation would write it. The library
    of one baseline is hidden, as where it is not installed."""
    hidden = tmp_path_factory.mktemp("hidden")
    (hidden / "implicit").mkdir()
    (hidden / "implicit/__init__.py").write_text("raise ImportError('hidden')\n")
    paths = [str(hidden)]
    try:
        metadata.distribution("penjing-recommendation")
    except metadata.PackageNotFoundError:
        site = tmp_path_factory.mktemp("site")
        info = site / "penjing_recommendation-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: penjing-recommendation\nVersion: 0.1.0\nKeywords: penjing-domain\n"
        )
        (info / "entry_points.txt").write_text("[penjing]\nrecommendation = penjing_recommendation.plugin\n")
        paths += [str(site), str(CHECKOUT / "plugins/recommendation/src")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*paths, os.environ.get("PYTHONPATH", "")]))}


def penjing_recommendation(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penjing", "recommendation", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def run(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, str]:
    """(run folder, the document that was printed, what was said)."""
    output = tmp_path_factory.mktemp("recommendation") / "run"
    settings = [part for setting in SHORT for part in ("--set", setting)]
    done = penjing_recommendation(environment, "run", "--output", output, *settings, "--json", "--budget", "drop=0.5")
    assert done.returncode == 0, done.stderr
    return output, json.loads(done.stdout), done.stderr


def test_the_document_fits_its_schema_and_names_the_protocol(run: tuple[Path, dict, str]) -> None:
    _, document, _ = run
    jsonschema.validate(document, load_metrics_schema())
    assert document["data"]["synthetic"]
    figures = document["compressed"]["metrics"]
    assert figures["protocol[leave-last-out, full ranking, ndcg_at_10]"] == pytest.approx(figures["ndcg_at_10"])
    assert {"beyond_accuracy[coverage_at_10]", "hit_rate_by_popularity[tenth 1]", "recency_curve[last 5]"} <= set(
        figures
    )


def test_a_baseline_without_its_library_is_left_out_and_the_report_says_so(run: tuple[Path, dict, str]) -> None:
    folder, document, said = run
    names = [entry["name"].partition(",")[0] for entry in document["baselines"]]
    assert set(names) == {"EASE", "item-kNN", "popularity"}
    assert "a baseline is left out" in said and "penjing-recommendation[als]" in said
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "the library implicit is not installed" in report
    assert "Hit rate at 10 by popularity of the right item" in report


def test_runtimes_agree_and_the_missing_one_names_its_operator(run: tuple[Path, dict, str]) -> None:
    conformance = run[1]["conformance"]
    assert "TOPK_V2" in conformance["missing"]["TFLM"]
    assert all(pair["equal_decisions"] > 0.5 for pair in conformance["pairs"])


def test_titles_are_recommended_with_what_drove_them(run: tuple[Path, dict, str], environment: dict[str, str]) -> None:
    assert "items.csv" in penjing.load_bundle(run[0] / "bundle").files
    done = penjing_recommendation(
        environment, "predict", "--history", "1,5,9", "-k", "4", "--bundle", run[0] / "bundle", "--json"
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["predictions"]
    assert len(rows) == 4 and all(row["title"].startswith("Made-up") for row in rows)
