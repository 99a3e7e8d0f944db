"""The sensitivity analysis: exact changes, nothing left behind, cached by what it depends on, shown and used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import penjing
from penjing.compression.pruning.sparsity_targets import equal_drop_shares
from penjing.compression.sensitivity import Sensitivity, hash_split, measure_sensitivity
from penjing.compression.settings.sensitivity import SensitivitySettings
from penjing.compression.weight_changes import rounded, thinned
from penjing.contract import Split
from penjing.errors import ModelError
from penjing.recipe import Recipe

arrays = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.floats(-3, 3, width=32))


@given(arrays, st.integers(2, 8))
def test_rounded_weights_lie_on_the_grid_of_their_channel_and_near(weights: np.ndarray, bits: int) -> None:
    changed = rounded(weights, bits, (1,))
    highest = 2 ** (bits - 1) - 1
    for column, before in zip(changed.T, weights.T, strict=True):
        step = np.abs(before).max() / highest
        assert np.abs(column - before).max() <= step / 2 + 1e-5
        if step > 1e-20:
            assert column / step == pytest.approx(np.round(column / step), abs=1e-3)
            assert np.abs(column / step).max() == pytest.approx(highest, abs=1e-3)


@given(arrays, st.floats(0.01, 0.99))
def test_thinned_weights_lose_exactly_their_smallest(weights: np.ndarray, share: float) -> None:
    changed = thinned(weights, share)
    count = round(share * weights.size)
    assert np.count_nonzero(changed != weights) <= count
    kept = np.sort(np.abs(weights).ravel())[count:]
    assert np.array_equal(np.sort(np.abs(changed).ravel())[count:], kept)
    assert not np.any(np.sort(np.abs(changed).ravel())[:count])


def two_roads():
    """The output is the mean of what passes 'used'; what passes 'idle' is multiplied by zero in 'head'."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input((6,))
    used = layers.Dense(4, name="used")(inputs)
    idle = layers.Dense(4, name="idle")(inputs)
    model = keras.Model(inputs, layers.Dense(1, name="head")(layers.Concatenate()([used, idle])))
    ascending = np.arange(1, 5, dtype="float32")
    model.get_layer("used").set_weights([np.eye(6, 4, dtype="float32") * ascending, ascending])
    head = np.zeros((8, 1), "float32")
    head[:4] = 1.0
    model.get_layer("head").set_weights([head, np.zeros(1, "float32")])
    return model


class Examined:
    """The mean of |output - target| on a validation part, counting the questions."""

    def __init__(self, model, count: int = 50) -> None:
        self.x = np.random.default_rng(0).normal(size=(count, 6)).astype("float32")
        self.y = np.asarray(model(self.x))
        self.asked: list[np.ndarray | None] = []

    def __call__(self, model, rows=None) -> float:
        self.asked.append(rows)
        chosen = slice(None) if rows is None else rows
        return float(np.abs(np.asarray(model(self.x[chosen])) - self.y[chosen]).mean())


def measure(model, evaluate, **more) -> Sensitivity:
    settings = {"metric": "error", "higher_is_better": False, "seed": 3, **more}
    return measure_sensitivity(model, evaluate, len(evaluate.x), **settings)


def test_each_matrix_is_changed_alone_and_put_back() -> None:
    model = two_roads()
    before = model.get_weights()
    evaluate = Examined(model)
    result = measure(model, evaluate)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert result.baseline == 0.0
    assert result.weights == {"used": 24, "idle": 24, "head": 8}
    assert all(trial.drop == 0.0 for trial in result.trials if trial.matrix == "idle")
    # 24 weights, 4 of them not zero: only the last tenth costs anything.
    assert [round(drop, 6) > 0 for drop in result.drops("sparsity")["used"].values()] == [False, False, False, True]
    # Half of the channels are those with 1 and 2, and their biases go with them.
    x = evaluate.x
    lost = np.abs(x[:, 0] + 1 + 2 * x[:, 1] + 2).mean()
    assert result.drops("channels")["used"][0.5] == pytest.approx(lost, rel=1e-5)
    # The layer of the outputs cannot lose channels.
    assert "head" not in result.drops("channels")
    assert len(evaluate.asked) == 1 + len(result.trials) == 1 + 3 * 7 + 2 * 3


def test_a_drop_is_positive_where_the_metric_gets_worse_whichever_way_it_points() -> None:
    model = two_roads()
    evaluate = Examined(model)
    lower = measure(model, evaluate).drops("sparsity")["used"][0.9]
    higher = measure_sensitivity(
        model, lambda *a: -evaluate(*a), 50, metric="negative", higher_is_better=True, seed=3
    ).drops("sparsity")["used"][0.9]
    assert lower == pytest.approx(higher) and lower > 0


def test_a_failing_metric_leaves_the_model_as_it_was() -> None:
    model = two_roads()
    before = model.get_weights()
    answers = iter([0.5, float("nan")])
    with pytest.raises(ModelError, match="the metric 'error' is nan"):
        measure_sensitivity(model, lambda *a: next(answers), 50, metric="error", higher_is_better=True)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_large_validation_part_is_sampled_by_the_seed() -> None:
    model = two_roads()
    evaluate = Examined(model)
    settings = SensitivitySettings(examples=20, bits=(4,), sparsity=(), channels=())
    assert measure(model, evaluate, settings=settings).examples == 20
    rows = evaluate.asked[0]
    assert rows is not None and len(set(rows.tolist())) == 20
    assert all(np.array_equal(rows, again) for again in evaluate.asked)
    evaluate.asked.clear()
    measure(model, evaluate, settings=settings, seed=4)
    assert not np.array_equal(rows, evaluate.asked[0])


def test_what_is_known_is_not_measured_again(tmp_path: Path) -> None:
    model = two_roads()
    evaluate = Examined(model)
    part = Split(x=evaluate.x, y=evaluate.y, ids=[str(i) for i in range(50)])
    cached = {"cache": tmp_path, "data_key": hash_split(part)}
    first = measure(model, evaluate, **cached)
    evaluate.asked.clear()
    assert measure(model, evaluate, **cached) == first
    assert len(evaluate.asked) == 1
    evaluate.asked.clear()
    # Whatever it depends on makes it measure again.
    other = Split(x=evaluate.x + 1, y=evaluate.y, ids=part.ids)
    for change in ({"data_key": hash_split(other)}, {"metric": "another"}, {"seed": 9}, {"only": ["used"]}):
        measure(model, evaluate, **{**cached, **change})
        assert len(evaluate.asked) > 1, change
        evaluate.asked.clear()
    model.get_layer("idle").bias.assign(np.ones(4, "float32"))
    measure(model, evaluate, **cached)
    assert len(evaluate.asked) > 1
    # Another function under the same name is another metric.
    squared = measure_sensitivity(
        model, lambda *a: 1 + evaluate(*a) ** 2, 50, metric="error", higher_is_better=False, seed=3, **cached
    )
    assert squared.baseline == 1.0
    for path in tmp_path.iterdir():
        path.write_text("{")
    evaluate.asked.clear()
    measure(model, evaluate, **cached)
    assert len(evaluate.asked) > 1


def test_the_result_survives_json() -> None:
    result = measure(two_roads(), Examined(two_roads()))
    assert Sensitivity.from_json(json.loads(json.dumps(result.to_json()))) == result


costs = st.lists(st.floats(-0.05, 1), min_size=4, max_size=4)


@given(st.lists(st.tuples(st.integers(1, 500), costs), min_size=1, max_size=6), st.floats(0.02, 0.89))
def test_shares_add_up_to_the_total_and_cost_the_same(layers: list, total: float) -> None:
    levels = (0.3, 0.5, 0.7, 0.9)
    weights = {str(number): size for number, (size, _) in enumerate(layers)}
    drops = {str(number): dict(zip(levels, each, strict=True)) for number, (_, each) in enumerate(layers)}
    shares = equal_drop_shares(drops, weights, total)
    assert sum(shares[key] * weights[key] for key in weights) / sum(weights.values()) == pytest.approx(total, abs=1e-6)
    assert all(-1e-9 <= share <= 0.9 + 1e-9 for share in shares.values())

    def cost(key: str) -> float:
        rising = np.maximum.accumulate([0.0, *drops[key].values()])
        return float(np.interp(shares[key], (0.0, *levels), rising))

    bearing = [cost(key) for key in shares if shares[key] < 0.9 - 1e-9]
    if bearing:
        assert max(bearing) - min(bearing) < 1e-5
        # Who is at the upper limit costs no more than the others.
        assert all(cost(key) <= max(bearing) + 1e-5 for key in shares)


def test_a_layer_that_matters_gets_less_sparsity() -> None:
    drops = {"strong": {0.3: 0.0, 0.9: 0.01}, "weak": {0.3: 0.1, 0.9: 0.5}}
    shares = equal_drop_shares(drops, {"strong": 100, "weak": 100}, 0.5)
    assert shares["strong"] == pytest.approx(0.9, abs=0.01)
    assert shares["weak"] == pytest.approx(0.1, abs=0.01)
    with pytest.raises(ValueError, match="above the measured levels"):
        equal_drop_shares(drops, {"strong": 100, "weak": 100}, 0.95)


def test_pruning_by_sensitivity_reaches_the_total_and_the_report_shows_why(
    toy_model: Path, toy_data: Path, tmp_path: Path
) -> None:
    import keras

    step = 'technique = "prune-weights"\ntargets = "sensitivity"\nsparsity = 0.88\nepochs = 1\nexclude = ["quarter"]'
    result = penjing.compress(
        toy_model, recipe=Recipe.from_toml(f"[[steps]]\n{step}\n"), data=toy_data, output=tmp_path / "run"
    )
    place = tmp_path / "run/steps/01-prune-weights"
    found = Sensitivity.from_json(json.loads((place / "sensitivity.json").read_text()))
    assert set(found.weights) == {"stem", "depthwise", "hidden"}
    after = keras.models.load_model(place / "model.keras", compile=False)
    zeros = {name: int((np.asarray(after.get_layer(name).kernel) == 0).sum()) for name in found.weights}
    shares = equal_drop_shares(found.drops("sparsity"), found.weights, 0.88)
    assert zeros == {name: round(share * found.weights[name]) for name, share in shares.items()}
    assert sum(zeros.values()) == pytest.approx(0.88 * sum(found.weights.values()), abs=3)
    page = result.report.read_text()
    assert "Sensitivity of the layers (step 1 prune-weights)" in page
    assert page.count('fill-opacity="') == len(found.trials)


def test_the_command_prints_one_document_and_writes_a_page(
    run_penjing, toy_model: Path, toy_data: Path, tmp_path: Path
) -> None:
    done = run_penjing("sensitivity", toy_model, "--data", toy_data, "--json", "--quiet", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "out/sensitivity.json").read_text())
    assert set(document["weights"]) == {"stem", "depthwise", "hidden", "quarter"}
    assert document["metric"] == "accuracy" and document["baseline"] > 0.8
    found = Sensitivity.from_json(document)
    # Eight bits of the weights are harmless, losing three quarters of the channels is not everywhere.
    assert max(levels[8.0] for levels in found.drops("bits").values()) < 0.03
    assert max(levels[0.75] for levels in found.drops("channels").values()) > 0.1
    page = (tmp_path / "out/sensitivity.html").read_text()
    assert "<svg" in page and "http" not in page
    failed = run_penjing("sensitivity", toy_model, "--data", tmp_path / "none.npz")
    assert failed.returncode == 2 and "there is no such file" in failed.stderr
