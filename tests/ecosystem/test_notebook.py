"""What a notebook shows: figures that are there, nothing that could be a script."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from penjing.compression.sensitivity import Sensitivity, Trial
from penjing.errors import UsageError
from penjing.html_table import html_table
from penjing.runner.comparison import compare_runs
from penjing.runner.explanation import Explanation
from penjing.runner.result import RunResult
from penjing.runtime import LoadedBundle

EVIL = "<script>alert(1)</script>&\"'"
METRICS: dict[str, Any] = {
    "domain": "leaks",
    "seed": 0,
    "primary_metric": "auc",
    "data": {"synthetic": True, "sha256": "a"},
    "machine": {"cpu": "x"},
    "recipe": {"name": "default"},
    "baselines": [{"name": EVIL, "metrics": {"auc": 0.5}, "intervals": {"auc": {"low": 0.4, "high": 0.6}}}],
    "reference": {"metrics": {"auc": 0.91}, "intervals": {}, "flash_bytes": 40_000},
    "compressed": {
        "metrics": {"auc": 0.9},
        "intervals": {"auc": {"estimate": 0.9, "low": 0.85, "high": 0.95}},
        "flash_bytes": 12_345,
        "arena_bytes": None,
        "latency_us": {"p50": 51.4},
    },
    "budget": [{"limit": "flash_bytes", "value": 10_000.0, "measured": 12_345.0, "holds": False, "note": ""}],
}


class Cells(HTMLParser):
    """The texts of a page, and the tags that it is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def cells(page: str) -> Cells:
    found = Cells(page)
    assert set(found.tags) <= {"div", "style", "table", "caption", "tr", "th", "td", "p"}
    assert not re.search(r"(src|href)\s*=", page)
    return found


def run(folder: Path | str, **changes: Any) -> RunResult:
    return RunResult(folder=Path(folder), metrics={**METRICS, **changes}, report=Path("report.html"), bundle=None)


def test_a_run_shows_baseline_reference_and_file_with_intervals_and_what_does_not_hold() -> None:
    texts = cells(run(f"runs/{EVIL}")._repr_html_()).texts
    assert f"leaks: runs/{EVIL}" in texts and f"baseline: {EVIL}" in texts
    assert {"0.5000", "0.9100", "0.9000", "0.8500 to 0.9500", "12,345 B"} <= set(texts)
    assert "flash_bytes: measured 12,345, at most 10,000: does NOT hold" in texts
    assert "The data is synthetic." in texts


def test_a_run_that_is_not_verified_says_so_and_a_metric_without_a_value_is_empty() -> None:
    unfinished = RunResult(folder=Path("runs/x"), metrics={}, report=None, bundle=None)
    assert "not verified yet" in cells(unfinished._repr_html_()).texts
    compressed = {**METRICS["compressed"], "metrics": {"auc": None}}
    assert "12,345 B" in cells(run("x", compressed=compressed)._repr_html_()).texts


def test_a_bundle_shows_what_it_is_for() -> None:
    lineage = SimpleNamespace(data_source=EVIL, synthetic=True)
    manifest = SimpleNamespace(domain="leaks", name="default", labels=[EVIL], lineage=lineage, intended_use="pumps")
    bundle = LoadedBundle(Path("b"), manifest, {"model.tflite": b"0" * 1234})  # type: ignore[arg-type]
    texts = cells(bundle._repr_html_()).texts
    assert {"1,234 B", EVIL, f"{EVIL} (synthetic)", "pumps"} <= set(texts)


def test_a_comparison_shows_each_run_and_what_keeps_them_apart(tmp_path: Path) -> None:
    for name, changes in (("one", {}), ("two", {"data": {"sha256": "b"}})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps({**METRICS, **changes}))
    found = compare_runs([tmp_path / "one", tmp_path / "two"])
    texts = cells(found._repr_html_()).texts
    assert texts.count("12,345 B") == 2 and "not measured" in texts and "no" in texts
    assert found.notes == ("The runs have different data.",)
    assert [row["flash_bytes"] for row in found.to_json()] == [12_345, 12_345]
    with pytest.raises(UsageError, match="there is no finished run"):
        compare_runs([tmp_path / "three"])


def test_an_explanation_shows_each_step_and_still_is_json_values() -> None:
    step = {"number": 1, "technique": "quantize", "layers": [{"layer": EVIL, "change": "to int8"}], "notes": ["a note"]}
    costs = {"flash_bytes": 4_000, "macs": 1_000, "mode": "int8"}
    found = Explanation(steps=[step], before={**costs, "flash_bytes": 9_000}, expected=costs)
    texts = cells(found._repr_html_()).texts
    assert {"step 1: quantize", EVIL, "to int8", "a note", "9,000 B", "4,000 B", "after (int8)"} <= set(texts)
    assert json.loads(json.dumps(found)) == found


def test_a_sensitivity_shows_a_row_for_each_matrix() -> None:
    trials = tuple(Trial(matrix=EVIL, kind="bits", level=level, value=0.89, drop=0.01) for level in (8.0, 4.0))
    found = Sensitivity(
        metric="auc", higher_is_better=True, baseline=0.9, examples=50, weights={EVIL: 100}, trials=trials
    )
    texts = cells(found._repr_html_()).texts
    assert {EVIL, "8 bits", "4 bits", "+0.0100"} <= set(texts)


def test_a_table_is_escaped_everywhere() -> None:
    page = html_table(EVIL, (EVIL,), [(EVIL, EVIL)], [EVIL])
    assert "<script" not in page and cells(page).texts.count(EVIL) == 5
