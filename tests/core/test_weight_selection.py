"""Which weights go: patterns, criteria and schedules of prune-weights, against what the papers say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from penjing.compression.matrix_layout import as_lines, from_lines
from penjing.compression.pruning.patterns import block_numbers, group_mask, most_in_a_group
from penjing.compression.pruning.schedules import iterative_sparsity
from penjing.compression.pruning.weight_selection import Pool, Units, select
from penjing.compression.settings.weight_pruning import PruneWeightsSettings

matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=7),
    elements=st.floats(0, 3, width=32),
)


@given(matrices, st.integers(1, 3), st.integers(1, 3))
def test_a_group_keeps_its_n_highest(scores: np.ndarray, kept: int, more: int) -> None:
    group = kept + more
    axis = scores.ndim - 2
    mask = group_mask(scores, (axis,), kept, group)
    for place in np.ndindex(*(1 if a == axis else size for a, size in enumerate(scores.shape))):
        index = tuple(slice(None) if a == axis else position for a, position in enumerate(place))
        line, line_mask = scores[index], mask[index]
        for start in range(0, len(line), group):
            part, part_mask = line[start : start + group], line_mask[start : start + group]
            assert part_mask.sum() == min(kept, len(part))
            assert part[part_mask].min(initial=9) >= part[~part_mask].max(initial=0)
    assert most_in_a_group(mask, (axis,), group) <= kept


def test_the_most_in_a_group_is_counted_along_the_inputs() -> None:
    values = np.array([[1, 0], [1, 0], [1, 1], [0, 0], [0, 1]], "float32")
    assert most_in_a_group(values, (0,), 4) == 3
    assert most_in_a_group(values.T, (1,), 4) == 3
    assert most_in_a_group(values, (1,), 2) == 2


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 2), st.integers(1, 4), st.integers(1, 4))
def test_blocks_tile_inputs_and_outputs_of_each_tap(
    inputs: int, outputs: int, taps: int, rows: int, columns: int
) -> None:
    numbers = block_numbers((taps, inputs, outputs), (1,), (rows, columns))
    expected: dict[tuple[int, int, int], set[int]] = {}
    for tap, i, o in np.ndindex(taps, inputs, outputs):
        expected.setdefault((tap, i // rows, o // columns), set()).add(int(numbers[tap, i, o]))
    assert all(len(found) == 1 for found in expected.values())
    assert sorted(number for found in expected.values() for number in found) == list(range(len(expected)))


@given(matrices)
def test_lines_go_back_to_the_matrix(values: np.ndarray) -> None:
    axes = tuple(range(values.ndim - 1))
    assert np.array_equal(from_lines(as_lines(values, axes), values.shape, axes), values)
    assert as_lines(values, axes).shape[0] == values.shape[-1]


@given(matrices, st.floats(0.05, 0.95), st.integers(1, 3), st.integers(1, 3))
def test_blocks_go_whole_lowest_mean_first_up_to_the_share(
    scores: np.ndarray, share: float, rows: int, columns: int
) -> None:
    numbers = block_numbers(scores.shape, (scores.ndim - 2,), (rows, columns))
    masks = select({"a": scores}, {}, [Pool(keys=("a",), share=share)], Units(blocks={"a": numbers}))
    flat, mask = numbers.ravel(), masks["a"].ravel()
    sizes = np.bincount(flat)
    left = np.bincount(flat, mask)
    assert np.all((left == 0) | (left == sizes))
    means = np.bincount(flat, scores.ravel()) / sizes
    gone = left == 0
    target = round(share * scores.size)
    assert sizes[gone].sum() <= target
    # What stayed scores no lower, but for nothing: the highest block always stays.
    if gone.any():
        assert means[~gone].min() >= means[gone].max() - 1e-6
    lowest = sorted(np.flatnonzero(~gone), key=lambda number: means[number])
    if len(lowest) > 1:
        assert sizes[gone].sum() + sizes[lowest[0]] > target or means[lowest[0]] == means[lowest[1]]


@given(matrices, st.floats(0, 1), st.floats(0, 1))
def test_groups_fill_up_step_by_step(scores: np.ndarray, first: float, second: float) -> None:
    low, high = sorted((first, second))
    units = Units(groups={"a": (scores.ndim - 2,)}, kept_of_group=(1, 3))
    pools = [Pool(keys=("a",), share=2 / 3)]
    early, late = (select({"a": scores}, {}, pools, units, done)["a"] for done in (low, high))
    assert np.all(early | ~late)
    final = select({"a": scores}, {}, pools, units)["a"]
    assert np.array_equal(final, group_mask(scores, (scores.ndim - 2,), 1, 3))
    assert (~late).sum() == round(high * int((~final).sum()))


def test_what_is_gone_counts_and_goes_first() -> None:
    scores = np.array([[5.0, 1.0, 2.0, 3.0, 4.0, 6.0]])
    gone = np.array([[True, False, False, False, False, False]])
    mask = select({"a": scores}, {"a": gone}, [Pool(keys=("a",), share=0.5)], Units())["a"]
    assert mask.tolist() == [[False, False, False, True, True, True]]


def test_the_rounds_of_the_iterative_schedule_take_equal_shares_of_the_rest() -> None:
    reached = [iterative_sparsity(p, final=0.9375, begin=0.2, end=1.0, rounds=4) for p in (0.1, 0.2, 0.4, 0.6, 0.8, 1)]
    assert reached == pytest.approx([0, 0.5, 0.75, 0.875, 0.9375, 0.9375])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"n_m": "2:4", "sparsity": 0.5}, "decides the sparsity"),
        ({"n_m": "4:4"}, "makes nothing zero"),
        ({"n_m": "two"}, "pattern"),
        ({"n_m": "2:4", "block": (2, 2)}, "exclude each other"),
        ({"n_m": "2:4", "layer_sparsity": {"a": 0.5}}, "same share"),
        ({"block": (0, 2)}, "at least 1"),
        ({"criterion": "taylor", "epochs": 0}, "needs training"),
        ({"criterion": "movement", "schedule_shape": "one-shot"}, "before the first weight goes"),
        ({"criterion": "movement", "schedule_shape": "constant"}, "before the first weight goes"),
        ({"criterion": "movement", "initial_sparsity": 0.1}, "needs begin above 0"),
        ({"keep": "best"}, "not pruned yet"),
        ({"targets": "sensitivity", "scope": "layer"}, "share of its own"),
        ({"layer_sparsity": {"a": 1.0}}, "less than 1"),
        ({"begin": 0.8}, "before end"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: dict, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        PruneWeightsSettings(**settings)


def line_network():
    """y = w x with four inputs, and everything that one update needs."""
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, use_bias=False, name="only")])
    model.get_layer("only").set_weights([np.array([[1, -1], [2, 0.5], [-3, 1], [0.2, 4]], "float32")])
    generator = np.random.default_rng(3)
    x = generator.normal(size=(3, 5, 4)).astype("float32")
    y = generator.normal(size=(3, 5, 2)).astype("float32")
    return model, x, y


def gradient(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the mean squared error of y = x w."""
    return 2 * x.T @ (x @ weights - y) / y.size


def train(model, scores, batches) -> None:
    """Plain gradient descent with rate 0.1 on the batches, through the scores' wrapper."""
    import keras

    trainee, loss = scores.wrap(model, keras.losses.MeanSquaredError())
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    trainee.compile(optimizer=optimizer, loss=loss, jit_compile=False)
    for x, y in batches:
        trainee.fit(x, y, batch_size=len(x), shuffle=False, verbose=0)


def test_movement_collects_what_sanh_et_al_say_and_lets_weights_come_back() -> None:
    """S = -sum w dL/dw; a masked weight rests at its last value and collects through the masked model's gradient."""
    import keras

    from penjing.compression.pruning.weight_scores import WeightScores

    model, x, y = line_network()
    kernel = model.get_layer("only").kernel
    mask = keras.Variable(np.ones((4, 2), "float32"), trainable=False)
    scores = WeightScores("movement", {"only": kernel}, {"only": mask})
    weights = np.asarray(kernel).astype("float64")
    total = np.zeros((4, 2))
    kept = np.ones((4, 2), bool)
    for step in range(3):
        if step == 1:
            kept = np.array([[True, False], [True, True], [False, True], [True, True]])
            scores.change_masks({"only": kept})
            assert np.array_equal(np.asarray(kernel) == 0, ~kept)
        slope = gradient(weights * kept, x[step], y[step])
        total -= weights * slope
        weights -= 0.1 * slope * kept
        train(model, scores, [(x[step], y[step])])
    assert scores.values()["only"] == pytest.approx(total, rel=1e-4)
    assert np.asarray(kernel) == pytest.approx(weights * kept, rel=1e-4)
    scores.change_masks({"only": np.ones((4, 2), bool)})
    assert np.asarray(kernel) == pytest.approx(weights, rel=1e-4)
    assert not scores.gone()["only"].any()


def test_taylor_collects_squared_first_order_changes_since_the_last_mask() -> None:
    """Sum of (w dL/dw)^2; what is masked stays masked."""
    import keras

    from penjing.compression.pruning.weight_scores import WeightScores

    model, x, y = line_network()
    kernel = model.get_layer("only").kernel
    mask = keras.Variable(np.ones((4, 2), "float32"), trainable=False)
    scores = WeightScores("taylor", {"only": kernel}, {"only": mask})
    train(model, scores, [(x[0], y[0])])
    kept = np.array([[True, False], [True, True], [True, True], [True, True]])
    scores.change_masks({"only": kept})
    weights = np.asarray(kernel).astype("float64")
    total = np.zeros((4, 2))
    for step in (1, 2):
        slope = gradient(weights, x[step], y[step])
        total += (weights * slope) ** 2
        weights -= 0.1 * slope * kept
    train(model, scores, [(x[1], y[1]), (x[2], y[2])])
    assert scores.values()["only"] == pytest.approx(total, rel=1e-4)
    assert np.array_equal(scores.gone()["only"], ~kept)


def test_first_taylor_scores_come_from_seeded_batches_of_the_training_part() -> None:
    import keras

    from penjing.compression.pruning.weight_scores import WeightScores
    from penjing.contract import Split

    model, x, y = line_network()
    kernel = model.get_layer("only").kernel
    mask = keras.Variable(np.ones((4, 2), "float32"), trainable=False)
    part = Split(x=x[0], y=y[0], ids=list("abcde"))
    scores = WeightScores("taylor", {"only": kernel}, {"only": mask})
    scores.gather_once(model, keras.losses.MeanSquaredError(), part, "regression", batches=4, seed=1)
    weights = np.asarray(kernel)
    assert scores.values()["only"] == pytest.approx((weights * gradient(weights, x[0], y[0])) ** 2, rel=1e-4)
