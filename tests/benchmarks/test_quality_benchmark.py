"""The quality benchmark compares what it says it compares: same network, same epochs, figures of the right results."""

from __future__ import annotations

import importlib
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from penjing.compression.plan import plan_steps
from penjing.errors import RecipeError
from penjing.host import PluginHost
from penjing.recipe import Recipe

QUALITY = Path(__file__).resolve().parents[2] / "benchmarks/quality"


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a worker has it: the benchmark's own modules by their plain names."""
    monkeypatch.syspath_prepend(str(QUALITY))


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize(("name", "parameters"), [("ds-cnn", 24_908), ("resnet8", 78_666)])
def test_the_networks_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    import keras

    assert module("architectures").ARCHITECTURES[name](keras).count_params() == parameters


def test_a_network_that_another_tool_pruned_has_its_sizes_and_its_outputs(tmp_path: Path) -> None:
    import keras

    exchange, architectures = module("weights_exchange"), module("architectures")
    small = architectures.resnet8(keras, {"stem": 9, "first1": 7, "second1": 9, "first2": 11, "first3": 33})
    exchange.save(tmp_path / "weights.npz", exchange.of_model(small))
    layers = exchange.load(tmp_path / "weights.npz")
    again = architectures.resnet8(keras, exchange.widths(layers))
    exchange.into_model(again, layers)
    x = np.random.default_rng(0).random((3, 32, 32, 3), np.float32)
    assert np.array_equal(small.predict(x, verbose=0), again.predict(x, verbose=0))


def test_a_library_that_computes_other_outputs_is_refused() -> None:
    check = module("weights_exchange").check_outputs
    right = np.array([[0.2, 0.8]], np.float32)
    check(right, right + 1e-6, "some library")
    for wrong in (right[:, ::-1], right * np.nan):
        with pytest.raises(ValueError, match="some library computes other outputs"):
            check(right, wrong, "some library")


def test_every_recipe_that_trains_has_the_same_epochs() -> None:
    epochs = {row: sum(module("scaling").recipe_epochs(stage.options["recipe"]) for stage in found.stages)
              for row, found in module("rows").ROWS.items() if row.startswith("penjing-") and found.trains}  # fmt: skip
    assert len(epochs) >= 5
    assert set(epochs.values()) == {20}


@pytest.mark.parametrize("path", sorted((QUALITY / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_planned_where_its_techniques_are_known(path: Path) -> None:
    host, recipe = PluginHost.discover(), Recipe.load(path)
    if all(step.technique in host.techniques for step in recipe.steps):
        assert len(plan_steps(recipe, host, host.resolve)) == len(recipe.steps)
    else:
        with pytest.raises(RecipeError, match="unknown technique"):
            plan_steps(recipe, host, host.resolve)


def test_fewer_epochs_are_shared_out_in_proportion() -> None:
    text = (QUALITY / "recipes/half-distill-aware.toml").read_text(encoding="utf-8")
    scaled = tomllib.loads(module("scaling").scaled_recipe(text, 8))
    assert [step.get("epochs") for step in scaled["steps"]] == [0, 6, 2]
    assert [step["technique"] for step in scaled["steps"]] == [s["technique"] for s in tomllib.loads(text)["steps"]]


def _job(folder: Path, **changes: Any) -> Any:
    given = {
        "task": "ds-cnn", "row": "some", "seed": 0, "folder": str(folder), "train": "train.npz", "reference": "ref",
        "epochs": 4, "float_epochs": 8, "examples": {"train": 500}, "options": {"macs": 0.5},
    }  # fmt: skip
    return module("job").Job(**{**given, **changes})


@pytest.mark.parametrize(
    "changes", [{"epochs": 5}, {"float_epochs": 9}, {"examples": {"train": 3000}}, {"options": {"macs": 0.4}}]
)
def test_what_was_made_is_taken_over_for_the_very_same_job_only(tmp_path: Path, changes: dict[str, Any]) -> None:
    job = _job(tmp_path / "stage")
    job.write()
    assert job.made is None
    job.leave(1.5, ("numpy",))
    assert job.made["seconds"] == 1.5
    assert _job(tmp_path / "stage", **changes).made is None


EXAMPLES = {"source": "clips", "train": 9, "validation": 5, "test": 40}


def _result(row: str, seed: int, correct: str, **figures: Any) -> dict[str, Any]:
    return {
        "task": "ds-cnn", "row": row, "seed": seed, "accuracy": correct.count("1") / len(correct), "correct": correct,
        "flash_bytes": 1000, "zip_bytes": 800, "arena_bytes": 5000, "arena_note": "", "macs": 70, "latency_us": 9.0,
        "seconds": 2.0, "reference_seconds": 30.0, "load": 0.5, "machine": "a machine", "date": "2026-01-02",
        "versions": {"some-tool": "1.2"},
        "jobs": [{"epochs": 4, "float_epochs": 8, "examples": EXAMPLES}],
        **figures,
    }  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The converter; a recipe that is as good and smaller; one that is worse; one that is skipped."""
    good, other, bad = "1" * 36 + "0" * 4, "0" * 4 + "1" * 36, "1" * 8 + "0" * 32
    found = [
        _result("converter-int8", 0, good), _result("converter-int8", 1, other),
        _result("penjing-half-int8", 0, good, flash_bytes=400), _result("penjing-half-int8", 1, other, flash_bytes=600),
        _result("penjing-half-distill-aware", 0, bad, flash_bytes=100),
        {"row": "penjing-aware", "seed": 0, "skipped": "penjing has no technique 'quantize-aware-training'"},
    ]  # fmt: skip
    for result in found:
        path = tmp_path / "results/ds-cnn" / result["row"] / f"seed-{result['seed']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result))
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data/ds-cnn-test.npz", group=np.arange(40) // 2)
    return tmp_path


def _cells(text: str, row: str) -> list[str]:
    (line,) = re.findall(rf"^\| `{row}` .*$", text, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_means_over_the_seeds_and_paired_differences(results: Path) -> None:
    text = module("table").markdown(results)
    cells = _cells(text, "penjing-half-int8")
    assert cells[1].startswith("90.0 (")
    # The same clips are right in both rows: a paired difference knows that nothing differs.
    assert cells[2] == "+0.0 (+0.0 to +0.0)"
    assert cells[3] == "500"
    low, high = map(float, re.findall(r"\((.*) to (.*)\)", _cells(text, "penjing-half-distill-aware")[2])[0])
    assert low < high < 0


def test_the_smallest_is_sought_among_the_rows_that_are_not_worse(results: Path) -> None:
    assert "does not lie below the converter's int8: `penjing-half-int8`, 500 bytes" in module("table").markdown(
        results
    )


def test_what_was_skipped_is_said(results: Path) -> None:
    text = module("table").markdown(results)
    assert "`penjing-aware`, seed 0: penjing has no technique 'quantize-aware-training'" in text
    assert "Seeds 0, 1. a machine" in text


def test_results_of_different_settings_are_not_passed_off_as_one_run(results: Path) -> None:
    assert "do not compare" not in module("table").markdown(results)
    path = results / "results/ds-cnn/penjing-half-int8/seed-1.json"
    other = json.loads(path.read_text())
    other["jobs"][0]["float_epochs"] = 1
    path.write_text(json.dumps(other))
    assert "do not compare" in module("table").markdown(results)
