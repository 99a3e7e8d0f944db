"""Budgets, intervals, audits and conformance: each says what is so, and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penjing.contract import ExportSettings
from penjing.errors import BudgetError
from penjing.export.litert import to_litert
from penjing.metrics import (
    accuracy,
    auc,
    balanced_accuracy,
    label_accuracy,
    mean_absolute_error,
    root_mean_squared_error,
)
from penjing.verify.audit import audit_slices
from penjing.verify.conformance import check_conformance
from penjing.verify.limits import Budget
from penjing.verify.statistics import bootstrap_interval, paired_difference

# ------------------------------------------------------------------------------------------------------- budget


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("flash=32KB,drop=0.01", {"flash_bytes": 32_000, "drop": 0.01}),
        ("flash=32KiB", {"flash_bytes": 32_768}),
        (" arena = 24 kib , macs=2.5M", {"arena_bytes": 24_576, "macs": 2_500_000}),
        ("latency=1.5ms", {"latency_us": 1500}),
        ("latency=300us,flash=40_000", {"latency_us": 300, "flash_bytes": 40_000}),
        ("drop=2%", {"drop": 0.02}),
        ("", {}),
    ],
)
def test_a_budget_is_read_with_its_units(text: str, limits: dict[str, float]) -> None:
    assert Budget.parse(text).limits == pytest.approx(limits)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flsh=3KB", "did you mean 'flash'"),
        ("flash", "cannot read the limit"),
        ("flash=big", "cannot be 'big'"),
        ("flash=3ms", "no unit of the limit 'flash'"),
        ("flash=-3", "cannot be '-3'"),
        ("flash=1e999", "cannot be"),
        ("flash=1KB,flash=2KB", "given twice"),
    ],
)
def test_a_budget_that_says_nothing_clear_is_refused(text: str, message: str) -> None:
    with pytest.raises(BudgetError) as caught:
        Budget.parse(text)
    assert message in str(caught.value)


@given(st.dictionaries(st.sampled_from(["flash", "arena", "macs", "latency", "drop"]), st.floats(0, 1e9)))
def test_text_and_mapping_say_the_same(limits: dict[str, float]) -> None:
    text = ",".join(f"{name}={value!r}" for name, value in limits.items())
    assert Budget.parse(text) == Budget.parse(limits)


def test_a_limit_holds_up_to_its_value_and_not_unmeasured() -> None:
    budget = Budget.parse("flash=100,arena=50,macs=10")
    lines = {line.limit: line for line in budget.check({"flash_bytes": 100, "arena_bytes": None, "macs": 11})}
    assert lines["flash_bytes"].holds
    assert not lines["macs"].holds
    assert not lines["arena_bytes"].holds and lines["arena_bytes"].note == "it could not be measured"


# --------------------------------------------------------------------------------------------------- statistics


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        right = generator.random(150) < 0.8
        outputs = np.where(right, 1.0, 0.0)
        interval = bootstrap_interval(accuracy, np.ones(150, int), outputs, resamples=400, seed=trial)
        hits += interval.low <= 0.8 <= interval.high
    assert 0.90 <= hits / 200 <= 0.985


def test_groups_are_drawn_whole_so_that_dependent_examples_do_not_narrow_the_interval() -> None:
    generator = np.random.default_rng(2)
    groups = np.repeat(np.arange(30), 20)
    right = np.repeat(generator.random(30) < 0.7, 20)  # a speaker is all right or all wrong
    outputs = right.astype(float)
    alone = bootstrap_interval(accuracy, np.ones(600, int), outputs, seed=0)
    grouped = bootstrap_interval(accuracy, np.ones(600, int), outputs, groups=groups, seed=0)
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)
    assert "30 groups" in grouped.method and grouped.n == 600


def test_a_handful_of_groups_gives_no_false_certainty() -> None:
    outputs = (np.random.default_rng(2).random(40) < 0.7).astype(float)
    for groups in (np.zeros(40), np.arange(40) % 3):
        interval = bootstrap_interval(accuracy, np.ones(40, int), outputs, groups=groups, seed=0)
        assert interval.high - interval.low > 0.2
        assert "groups only, it is too narrow for new ones" in interval.method


def test_a_perfect_score_on_few_examples_is_not_passed_off_as_certain() -> None:
    interval = bootstrap_interval(accuracy, np.ones(12, int), np.ones(12))
    assert "too few examples to see rarer errors" in interval.method


def test_pairing_narrows_the_interval_of_a_difference() -> None:
    generator = np.random.default_rng(3)
    targets = np.ones(400, int)
    reference = (generator.random(400) < 0.85).astype(float)
    compressed = reference.copy()
    compressed[:4] = 1 - compressed[:4]
    paired = paired_difference(accuracy, targets, reference, compressed, seed=0)
    single = bootstrap_interval(accuracy, targets, compressed, seed=0)
    assert paired.low <= paired.estimate <= paired.high
    assert paired.high - paired.low < 0.5 * (single.high - single.low)


def test_the_same_model_twice_differs_by_nothing() -> None:
    outputs = np.random.default_rng(4).random(50)
    interval = paired_difference(accuracy, np.ones(50, int), outputs, outputs)
    assert (interval.estimate, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_the_interval_agrees_with_scipys() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(5).normal(size=120)
    ours = bootstrap_interval(mean_absolute_error, np.zeros(120), values, resamples=4000, seed=0)
    theirs = bootstrap(
        (np.abs(values),), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(9)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)


@pytest.mark.parametrize("groups", [None, np.arange(300) // 7])
def test_a_prepared_metric_has_the_interval_that_it_has_unprepared(groups: np.ndarray | None) -> None:
    """`prepare` saves the ranking of every resample; it must not change a digit that anybody sees."""
    generator = np.random.default_rng(0)
    targets = generator.normal(size=300)
    outputs = targets + generator.normal(size=(2, 300))

    def plain(t, o):
        return float(np.mean(np.abs(t - o)))

    def prepared(t, o):
        raise AssertionError("a prepared metric is not asked row by row in a resample")

    asked = []

    def prepare(t, o):
        error = np.abs(t - o)

        def by_count(counts):
            asked.append(int(counts.sum()))
            return float(counts @ error / counts.sum())

        return by_count

    def both(t, o):
        return plain(t, o) if len(t) == 300 and np.array_equal(t, targets) else prepared(t, o)

    both.prepare = prepare
    ours = bootstrap_interval(both, targets, outputs[0], groups=groups, resamples=200)
    theirs = bootstrap_interval(plain, targets, outputs[0], groups=groups, resamples=200)
    assert (ours.low, ours.high, ours.method) == (
        pytest.approx(theirs.low, abs=1e-12),
        pytest.approx(theirs.high, abs=1e-12),
        theirs.method,
    )
    assert len(asked) == 200
    ours = paired_difference(both, targets, *outputs, groups=groups, resamples=200)
    theirs = paired_difference(plain, targets, *outputs, groups=groups, resamples=200)
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=1e-12), pytest.approx(theirs.high, abs=1e-12))


def test_the_audit_judges_a_prepared_metric_alike() -> None:
    generator = np.random.default_rng(1)
    targets = np.zeros(400)
    reference = generator.normal(size=400)
    compressed = reference.copy()
    compressed[:100] += 9
    column = {"part": np.repeat(["ruined", "whole"], [100, 300])}

    def error(t, o):
        return float(np.mean(np.abs(t - o)))

    def prepared(t, o):
        return error(t, o)

    prepared.prepare = lambda t, o: lambda counts: float(counts @ np.abs(t - o) / counts.sum())
    ours, theirs = (
        audit_slices(metric, targets, reference, compressed, column, higher_is_better=False, resamples=200)
        for metric in (prepared, error)
    )
    assert [row.verdict for row in ours] == [row.verdict for row in theirs] == ["damaged", "no damage seen"]


def test_resamples_without_a_value_are_left_out_and_counted() -> None:
    targets = np.array([1, *[0] * 9])
    interval = bootstrap_interval(auc, targets, np.linspace(1, 0, 10), seed=0)
    assert "without a value left out" in interval.method
    assert interval.low == interval.high == 1.0


def test_metrics_agree_with_scikit_learns() -> None:
    from sklearn import metrics

    generator = np.random.default_rng(6)
    targets, scores = generator.integers(0, 2, 300), np.round(generator.random(300), 1)
    assert auc(targets, scores) == pytest.approx(metrics.roc_auc_score(targets, scores))
    assert balanced_accuracy(targets, scores) == pytest.approx(metrics.balanced_accuracy_score(targets, scores > 0.5))
    labels = generator.integers(0, 2, (300, 3))
    several = generator.normal(size=(300, 3))
    right = np.mean([metrics.accuracy_score(labels[:, c], several[:, c] > 0) for c in range(3)])
    assert label_accuracy(labels, several, threshold=0.0) == pytest.approx(right)
    values = generator.normal(size=300)
    assert root_mean_squared_error(values, scores) == pytest.approx(metrics.root_mean_squared_error(values, scores))


# -------------------------------------------------------------------------------------------------------- audit


def test_damage_to_one_slice_is_found_and_chance_is_not_taken_for_damage() -> None:
    generator = np.random.default_rng(7)
    count = 2000
    columns = {"group": generator.integers(0, 10, count).astype(str), "rare": np.where(np.arange(count) < 5, "a", "b")}
    reference = (generator.random(count) < 0.9).astype(float)
    compressed = reference.copy()
    right, wrong = np.flatnonzero(reference == 1), np.flatnonzero(reference == 0)
    compressed[generator.choice(right, 40, replace=False)] = 0.0  # as many lost as won: no damage overall
    compressed[generator.choice(wrong, 40, replace=False)] = 1.0
    hurt = (columns["group"] == "3") & (generator.random(count) < 0.3)
    compressed[hurt] = 0.0
    rows = audit_slices(accuracy, np.ones(count, int), reference, compressed, columns, higher_is_better=True)
    verdicts = {(row.slice, row.value): row.verdict for row in rows}
    assert [key for key, verdict in verdicts.items() if verdict == "damaged" and key[0] == "group"] == [("group", "3")]
    assert verdicts["rare", "a"] == "too few to judge"


def test_no_slice_is_damaged_when_nothing_changed() -> None:
    outputs = np.random.default_rng(8).random(500)
    columns = {"half": np.where(np.arange(500) < 250, "first", "second")}
    rows = audit_slices(accuracy, np.ones(500, int), outputs, outputs, columns, higher_is_better=True)
    assert {row.verdict for row in rows} == {"no damage seen"}


# -------------------------------------------------------------------------------------------------- conformance


def int8_network(*stack, spread: float = 1.0) -> tuple[bytes, np.ndarray]:
    """An int8 file of layers behind 6 inputs whose largest kernel value is `spread`, and inputs."""
    import keras

    model = keras.Sequential([keras.Input((6,)), *stack])
    generator = np.random.default_rng(4)
    model.set_weights([spread * generator.uniform(-1, 1, weight.shape) for weight in model.get_weights()])
    x = generator.normal(size=(30, 6)).astype("float32")
    return to_litert(model, ExportSettings(mode="int8", calibration_examples=30), x), x


def test_a_kernel_that_is_missing_leaves_a_runtime_out_and_not_the_check() -> None:
    import keras

    content, x = int8_network(keras.layers.Dense(8, activation="elu"), keras.layers.Dense(3))
    report = check_conformance(content, x, task="regression")
    assert "LiteRT reference" in report.missing and "ELU" in report.missing["LiteRT reference"]
    assert all("LiteRT reference" not in pair.runtimes for pair in report.pairs)
    assert report.step > 0


@pytest.mark.parametrize(("spread", "aborts"), [(1.0, False), (1e-7, True)])
def test_a_softmax_that_would_end_the_process_is_refused_instead(spread: float, aborts: bool) -> None:
    import keras

    content, x = int8_network(keras.layers.Dense(4), keras.layers.Softmax(), spread=spread)
    report = check_conformance(content, x, task="classification")
    assert ("LiteRT reference" in report.missing) is aborts
    if aborts:
        assert "SOFTMAX: its input has a step of" in report.missing["LiteRT reference"]
        # And it would: in a process of its own, by LiteRT alone.
        code = (
            "import sys\nfrom ai_edge_litert.interpreter import Interpreter, OpResolverType\n"
            "Interpreter(model_content=sys.stdin.buffer.read(), "
            "experimental_op_resolver_type=OpResolverType.BUILTIN_REF).allocate_tensors()"
        )
        assert subprocess.run([sys.executable, "-c", code], input=content, capture_output=True).returncode < 0


def test_every_runtime_is_compared_with_every_other(penjing_data: Path) -> None:
    content = (penjing_data / "mlperf_tiny/kws_ref_model.tflite").read_bytes()
    x = np.random.default_rng(0).normal(0, 15, (40, 49, 10, 1)).astype("float32")
    report = check_conformance(content, x, task="classification", keras_outputs=np.eye(12)[np.zeros(40, int)])
    names = {name for pair in report.pairs for name in pair.runtimes}
    assert names == {"Keras", "LiteRT reference", "XNNPACK", "TFLM"}
    assert len(report.pairs) == 6 and all(pair.n == 40 for pair in report.pairs)
    against_keras = [pair for pair in report.pairs if "Keras" in pair.runtimes]
    assert all(pair.equal_decisions < 0.9 for pair in against_keras)  # the given Keras outputs are nonsense
    assert report.step == 1 / 256
