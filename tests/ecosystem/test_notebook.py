"""What a notebook shows: figures that are there, nothing that could be a script."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from penjing.bundle.manifest import Manifest
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
    "directions": {"auc": "higher"},
    "difference": {"auc": {"estimate": -0.01, "low": -0.02, "high": 0.005, "n": 800}},
    "data": {"synthetic": True, "sha256": "a", "source": EVIL},
    "machine": {"cpu": "x"},
    "recipe": {"name": "default"},
    "baselines": [{"name": EVIL, "metrics": {"auc": 0.5}, "intervals": {"auc": {"low": 0.4, "high": 0.6}}}],
    "reference": {"metrics": {"auc": 0.91}, "intervals": {}, "flash_bytes": 40_000, "macs": 9_000},
    "compressed": {
        "metrics": {"auc": 0.9},
        "intervals": {"auc": {"estimate": 0.9, "low": 0.85, "high": 0.95}},
        "flash_bytes": 12_345,
        "arena_bytes": None,
        "latency_us": {"p50": 51.4},
    },
    "budget": [
        {"limit": "flash_bytes", "value": 10_000.0, "measured": 12_345.0, "holds": False, "note": ""},
        {"limit": "arena_bytes", "value": 20_000.0, "measured": None, "holds": False, "note": "no tflite-micro"},
    ],
}


class Cells(HTMLParser):
    """The texts of a page, and the tags that it is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.classes: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.classes += [value for name, value in attrs if name == "class"]

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
    assert {"0.5000", "0.9100", "0.9000", "0.8500 to 0.9500", "12,345 B", "9,000", "51.4 us"} <= set(texts)
    # The sentences that end the run in the terminal.
    assert "Budget: flash at most 10,000 B, measured 12,345 B: does NOT hold." in texts
    assert "Budget: arena at most 20,000 B, not measured: does NOT hold (no tflite-micro)." in texts
    assert f"Data: {EVIL}, SYNTHETIC; seed 0." in texts
    assert any(text.startswith("Difference: auc -0.0100 [-0.0200, +0.0050] against the reference") for text in texts)
    assert "Outside the budget: flash, arena; 3.2 times smaller than the float32 reference." in texts


def test_a_run_that_is_not_verified_says_so_and_a_metric_without_a_value_is_empty() -> None:
    unfinished = RunResult(folder=Path("runs/x"), metrics={}, report=None, bundle=None)
    assert "not verified yet" in cells(unfinished._repr_html_()).texts
    compressed = {**METRICS["compressed"], "metrics": {"auc": None}}
    assert "12,345 B" in cells(run("x", compressed=compressed)._repr_html_()).texts


def test_a_bundle_shows_what_it_is_for() -> None:
    tensor = {"meaning": EVIL, "shape": [1, 64], "dtype": "int8", "scale": 0.1, "zero_point": 0}
    manifest = Manifest.model_validate(
        {
            "domain": "leaks",
            "name": "default",
            "summary": "Leaks in pipes.",
            "task": "binary",
            "labels": [EVIL],
            "inputs": [tensor],
            "outputs": [{**tensor, "meaning": "log-odds"}],
            "recipe": "",
            "lineage": {
                "data_source": EVIL,
                "data_sha256": "",
                "synthetic": True,
                "seed": 3,
                "versions": {"penjing": "0.1.0"},
                "steps": [],
                "created": "2026-01-01T00:00:00Z",
            },
            "metrics": {
                "auc": {"estimate": 0.9, "low": 0.85, "high": 0.95},
                **{f"recall[{number}]": {"estimate": 0.5} for number in range(5)},
            },
            "budget": [{"limit": "flash_bytes", "value": 1_000, "measured": 1_234, "holds": False}],
            "intended_use": "pumps",
            "data_license": "CC0",
            "files": {},
        }
    )
    bundle = LoadedBundle(Path("b"), manifest, {"model.tflite": b"0" * 1234})
    found = cells(bundle._repr_html_())
    assert {"Leaks in pipes.", "1,234 B", EVIL, f"{EVIL} (synthetic)", "pumps", "CC0"} <= set(found.texts)
    assert {f"{EVIL}: int8 of shape (1, 64)", "outside: flash_bytes"} <= set(found.texts)
    assert (
        "auc 0.9000 [0.8500, 0.9500]; recall[0] 0.5000; recall[1] 0.5000; recall[2] 0.5000; 2 more in bundle.json"
        in (found.texts)
    )
    assert "2026-01-01T00:00:00Z, penjing 0.1.0, seed 3" in found.texts
    assert "number" not in found.classes  # each row says one thing: all of them stand on the left


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
    page = html_table(EVIL, (EVIL, EVIL), [(EVIL, EVIL)], [EVIL])
    assert "<script" not in page and cells(page).texts.count(EVIL) == 6


def test_a_column_of_numbers_stands_on_the_right_with_its_head_and_one_of_words_on_the_left() -> None:
    rows = [("a", "1,234 B", "12 words", None), ("b", "not measured", "words", "-0.5")]
    found = cells(html_table("t", ("", "flash", "said", "drop"), rows))
    assert found.classes == ["penjing", "head", *["number"] * 6]
