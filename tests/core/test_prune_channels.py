"""prune-channels: targets are met and measured, criteria choose what they say, promises follow into the file."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import penjing
from penjing.compression.pruning import criteria
from penjing.compression.pruning.channel_counts import ChannelCounts
from penjing.compression.pruning.channels import explain, preview, score, select
from penjing.compression.pruning.selection import Limits, Selector, channels_left
from penjing.compression.settings.channel_pruning import PruneChannelsSettings
from penjing.compression.structure.cost import CostModel
from penjing.compression.structure.graph import ChannelGraph
from penjing.compression.structure.surgery import join_kept, remove_atoms
from penjing.contract import ExportSettings, Split
from penjing.errors import BudgetError, ModelError, PenjingError
from penjing.export.litert import to_litert
from penjing.export.trial import file_cost
from penjing.measure.file_graph import FileGraph
from penjing.measure.macs import count_macs
from penjing.recipe import Recipe

L = keras.layers
NOTHING = np.array([], np.int64)


def network(seed: int = 0) -> keras.Model:
    """Two residual stages, a squeeze-and-excite, a head."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((12, 12, 2))
    x = L.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = L.ReLU()(L.BatchNormalization(name="stem_norm")(x))
    y = L.Conv2D(24, 3, padding="same", name="expand")(x)
    y = L.ReLU()(L.BatchNormalization(name="expand_norm")(y))
    y = L.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    y = L.Conv2D(16, 1, name="project")(y)
    x = L.Add(name="sum")([x, y])
    x = L.Conv2D(32, 3, strides=2, activation="relu", name="down")(x)
    x = L.GlobalAveragePooling2D()(x)
    x = L.Dense(20, activation="relu", name="hidden")(x)
    return keras.Model(inputs, L.Dense(4, activation="softmax", name="head")(x))


def splits(model: keras.Model, count: int = 64) -> Split:
    generator = np.random.default_rng(0)
    return Split(
        x=generator.normal(size=(count, *model.inputs[0].shape[1:])).astype("float32"),
        y=generator.integers(0, 4, count),
        ids=[str(number) for number in range(count)],
    )


@pytest.mark.parametrize("scope", ["global", "local", "isomorphic"])
@pytest.mark.parametrize("target", ["macs", "params"])
@settings(max_examples=6, deadline=None)
@given(share=st.floats(0.25, 0.9), round_to=st.sampled_from([1, 4]), seed=st.integers(0, 3))
def test_a_target_is_met_and_not_overdone(scope: str, target: str, share: float, round_to: int, seed: int) -> None:
    model = network(seed)
    chosen = PruneChannelsSettings.model_validate({target: share, "scope": scope, "round_to": round_to})
    graph = ChannelGraph.from_model(model)
    cost = CostModel(graph)
    whole = cost.macs(NOTHING), cost.parameters(NOTHING)
    scores = score(graph, chosen, None, None, 0)
    gone = select(graph, chosen, scores, 1.0, whole)
    measure, total = (cost.macs, whole[0]) if target == "macs" else (cost.parameters, whole[1])
    assert measure(gone) <= share * total
    smaller, _ = remove_atoms(graph, gone.tolist())
    counts = {layer.name: layer.kernel.shape[-1] for layer in smaller.layers if hasattr(layer, "kernel")}
    assert all(count % round_to == 0 for name, count in counts.items() if name not in ("head", "depthwise"))
    if round_to == 1:
        # One more step of the ranking would have been needed: the selection just below the limit's share misses it.
        selector = Selector(graph, scores, scope, Limits(min_channels=chosen.min_channels, max_ratio=chosen.max_ratio))
        sizes = sorted({measure(selector.removed(part)) for part in np.linspace(0, 1, 200)})
        within = [size for size in sizes if size <= share * total]
        assert measure(gone) >= 0.97 * within[-1]


@given(st.floats(0, 1), st.floats(0.1, 0.9), st.integers(1, 6), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_limits_hold_whatever_is_asked(share: float, max_ratio: float, least: int, round_to: int) -> None:
    graph = ChannelGraph.from_model(network())
    selector = Selector(
        graph,
        criteria.magnitude(graph, 2),
        "global",
        Limits(round_to=round_to, min_channels=least, max_ratio=max_ratio),
    )
    for before, after in channels_left(graph, selector.removed(share)).values():
        assert after == before or after % round_to == 0
        assert after >= min(least, before)
        assert after >= (1 - max_ratio) * before - 1e-6


def removed_from(model: keras.Model, layer: str, asked: dict, train: Split | None = None) -> set[int]:
    """Indices of a layer's channels that a setting removes."""
    chosen = PruneChannelsSettings.model_validate(asked)
    graph = ChannelGraph.from_model(model)
    scores = score(graph, chosen, train, "classification", 0)
    cost = CostModel(graph)
    gone = select(graph, chosen, scores, 1.0, (cost.macs(NOTHING), cost.parameters(NOTHING)))
    use = next(use for use in graph.uses if use.path == layer and use.role == "makes" and use.name == "kernel")
    return set(np.flatnonzero(np.isin(graph.atom_of[use.units], gone)).tolist())


WEAK = {1, 4, 5, 9, 13, 17, 20, 22}


@pytest.mark.parametrize("criterion", ["l1", "l2", "lamp"])
def test_magnitude_drops_the_small(criterion: str) -> None:
    model = network()
    kernel = np.array(model.get_layer("expand").kernel)
    kernel[..., sorted(WEAK)] *= 0.01
    model.get_layer("expand").kernel.assign(kernel)
    assert removed_from(model, "expand", {"ratio": 8 / 24, "criterion": criterion, "scope": "local"}) == WEAK


def test_batchnorm_scale_drops_what_is_scaled_down_and_nothing_else() -> None:
    model = network()
    gamma = np.ones(24)
    gamma[sorted(WEAK)] = 0.01
    model.get_layer("expand_norm").gamma.assign(gamma)
    asked = {"ratio": 8 / 24, "criterion": "batchnorm-scale", "scope": "local"}
    assert removed_from(model, "expand", asked) == WEAK
    assert removed_from(model, "hidden", asked) == set()  # it has no BatchNormalization to tell


def test_geometric_median_drops_doubles_though_they_are_large() -> None:
    model = network()
    kernel = np.random.default_rng(0).normal(size=(3, 3, 16, 24))
    kernel[..., sorted(WEAK)] = 0.05 * kernel[..., sorted(WEAK)] + kernel.mean(axis=-1, keepdims=True)
    model.get_layer("expand").kernel.assign(kernel)
    model.get_layer("depthwise").kernel.assign(np.ones((3, 3, 24, 1)))
    asked = {"ratio": 8 / 24, "criterion": "geometric-median", "scope": "local"}
    graph = ChannelGraph.from_model(model)
    scores = criteria.geometric_median(graph)
    assert np.isfinite(scores[[atom for group in graph.groups for atom in group.atoms]]).all()
    assert removed_from(model, "expand", asked) == WEAK


@pytest.mark.parametrize("criterion", ["taylor", "apoz"])
def test_data_driven_criteria_drop_what_does_nothing_on_the_data(criterion: str) -> None:
    model = network()
    train = splits(model)
    bias = np.full(32, 0.5)
    dead = {0, 3, 7, 8, 15, 20, 21, 31}
    bias[sorted(dead)] = -50.0  # after the ReLU always zero, whatever the kernel's size
    down = model.get_layer("down")
    down.bias.assign(bias)
    kernel = np.array(down.kernel)
    kernel[..., sorted(dead)] *= 3.0
    down.kernel.assign(kernel)
    assert removed_from(model, "down", {"ratio": 8 / 32, "criterion": criterion, "scope": "local"}, train) == dead
    assert removed_from(model, "down", {"ratio": 8 / 32, "criterion": "l2", "scope": "local"}).isdisjoint(dead)


def test_taylor_is_the_squared_first_order_change() -> None:
    """Against gradients by finite differences of the loss when a channel's weights shrink together."""
    model = network(1)
    train = splits(model, 32)
    graph = ChannelGraph.from_model(model)
    scores = criteria.taylor(graph, train, "classification", 32, 0)
    hidden = model.get_layer("hidden")
    use = next(use for use in graph.uses if use.path == "hidden" and use.axis == 1)
    kernel = np.array(hidden.kernel)
    rows = np.random.default_rng(0).permutation(32)
    loss = keras.losses.SparseCategoricalCrossentropy()

    def value() -> float:
        return float(loss(train.y[rows], model(train.x[rows], training=False)))

    for channel in (0, 7, 19):
        values = []
        for factor in (1.01, 0.99):
            changed = kernel.copy()
            changed[:, channel] *= factor
            hidden.kernel.assign(changed)
            values.append(value())
        hidden.kernel.assign(kernel)
        expected = ((values[0] - values[1]) / 0.02) ** 2
        assert scores[graph.atom_of[use.units[channel]]] == pytest.approx(expected, rel=0.05, abs=1e-9)


def test_rounds_of_removal_are_one_in_the_indices_of_the_first() -> None:
    first = {"a": [None, np.array([0, 2, 3, 5])], "b": [np.array([1, 2]), None]}
    second = {"a": [np.array([0]), np.array([1, 3])], "c": [np.array([4]), None]}
    joined = join_kept(first, second)
    assert joined["a"][0].tolist() == [0] and joined["a"][1].tolist() == [2, 5]
    assert joined["b"][0].tolist() == [1, 2] and joined["c"][0].tolist() == [4]


RECIPE = """
[[steps]]
technique = "prune-weights"
sparsity = 0.4
epochs = 1
[[steps]]
technique = "prune-channels"
{target}
criterion = "{criterion}"
iterations = {iterations}
epochs = 1
[[steps]]
technique = "finetune"
epochs = 1
[[steps]]
technique = "quantize"
"""


@pytest.mark.parametrize(
    ("target", "criterion", "iterations"),
    [("macs = 0.5", "l2", 2), ("flash = '9KB'", "taylor", 1), ("ratio = 0.5", "batchnorm-scale", 1)],
)
def test_promises_follow_into_the_smaller_file(
    toy_model: Path, toy_data: Path, tmp_path: Path, target: str, criterion: str, iterations: int
) -> None:
    recipe = Recipe.from_toml(RECIPE.format(target=target, criterion=criterion, iterations=iterations))
    result = penjing.compress(toy_model, recipe=recipe, data=toy_data, output=tmp_path / "run")
    before = keras.models.load_model(tmp_path / "run/steps/01-prune-weights/model.keras", compile=False)
    after = keras.models.load_model(tmp_path / "run/steps/03-finetune/model.keras", compile=False)
    # A zero that survived the removal is still one after two trainings; there are enough for this to mean something.
    zeros = sum(int((np.asarray(after.get_layer(name).kernel) == 0).sum()) for name in ("stem", "hidden"))
    assert zeros > 20
    content = (result.bundle / "model.tflite").read_bytes()
    file = FileGraph.from_bytes(content)
    hidden = after.get_layer("hidden").kernel.shape
    assert any(sorted(hidden) == sorted(tensor.shape) for tensor in file.constants())
    if target.startswith("macs"):
        whole = CostModel(ChannelGraph.from_model(before)).macs(NOTHING)
        assert count_macs(file).total <= 0.5 * whole
    if target.startswith("flash"):
        assert 8_000 < len(content) <= 9_000
    if target.startswith("ratio"):
        assert after.get_layer("stem").filters == 6
        assert hidden[1] == 40  # no BatchNormalization tells of it


def test_a_resumed_run_rebuilds_what_followed(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    recipe = Recipe.from_toml(RECIPE.format(target="macs = 0.6", criterion="l1", iterations=1))
    first = penjing.compress(toy_model, recipe=recipe, data=toy_data, output=tmp_path / "run")
    content = (first.bundle / "model.tflite").read_bytes()
    for path in (tmp_path / "run/steps/04-quantize").iterdir():
        path.unlink()
    (tmp_path / "run/metrics.json").unlink()
    again = penjing.compress(toy_model, recipe=recipe, data=toy_data, output=tmp_path / "run", resume=True)
    assert (again.bundle / "model.tflite").read_bytes() == content


def test_explain_says_how_many_and_what_hangs_together() -> None:
    model = network()
    changes = {
        change.layer: change.change for change in explain(model, PruneChannelsSettings(macs=0.5, protect=("down",)))
    }
    assert "tied to project" in changes["stem"]
    assert changes["down"] == "all 32 channels stay: 'down' fits 'protect'"
    assert "looks at all channels" in changes["head"]
    count = int(changes["expand"].split(" -> ")[1].split()[0])
    smaller = preview(model, PruneChannelsSettings(macs=0.5, protect=("down",)))
    assert smaller.model.get_layer("expand").filters == count < 24
    # A target of bytes is known beforehand as well: the file's size does not depend on the data.
    nearer = PruneChannelsSettings.model_validate({"flash": "12KB"})
    said = {change.layer: change.change for change in explain(model, nearer)}
    kept = preview(model, nearer).model
    assert said["expand"].startswith(f"24 -> {kept.get_layer('expand').filters} channels")
    assert 11_000 < file_cost(kept, ExportSettings(mode="int8")).flash_bytes <= 12_000
    unsaid = {change.layer: change.change for change in explain(model, PruneChannelsSettings(criterion="taylor"))}
    assert unsaid["expand"] == "24 channels, how many go is decided by taylor on training examples"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"ratio": 0.2}, "by l2, channels of other layers count for less"),
        ({"ratio": 0.05, "scope": "local"}, "the share that goes is less than one of them"),
        ({"ratio": 0.3, "scope": "local", "round_to": 8}, "fewer than round_to = 8 of them would go"),
        ({"ratio": 0.3, "scope": "local", "min_channels": 12}, "min_channels is 12"),
    ],
)
def test_explain_says_why_a_layer_that_nothing_protects_keeps_its_channels(settings: dict, why: str) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), L.Dense(12, name="strong"), L.Dense(40, name="weak"), L.Dense(2)])
    kernel, bias = model.get_layer("strong").get_weights()
    model.get_layer("strong").set_weights([np.sign(kernel), bias])
    said = {c.layer: c.change for c in explain(model, PruneChannelsSettings(criterion="l2", **settings))}
    assert said["strong"] == f"all 12 channels stay: {why}"


def test_what_cannot_be_done_is_said_before_work_starts(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    def message(**asked: object) -> PenjingError:
        graph = ChannelGraph.from_model(network())
        chosen = PruneChannelsSettings.model_validate(asked)
        cost = CostModel(graph)
        with pytest.raises(ModelError) as caught:
            whole = cost.macs(NOTHING), cost.parameters(NOTHING)
            select(graph, chosen, score(graph, chosen, None, None, 0), 1.0, whole)
        return caught.value

    error = message(macs=100.0)
    assert "100 MACs cannot be reached" in error.what
    nearest = float(error.hint.split(" = ")[1].split(" ")[0])
    graph = ChannelGraph.from_model(network())
    cost = CostModel(graph)
    chosen = PruneChannelsSettings(macs=nearest)
    gone = select(graph, chosen, score(graph, chosen, None, None, 0), 1.0, (cost.macs(NOTHING), 0))
    assert cost.macs(gone) == nearest
    for target in ({"macs": 100.0}, {"flash": 100, "flash_format": "float32"}):
        asked = PruneChannelsSettings.model_validate({**target, "nearest": True})
        gone = select(graph, asked, score(graph, asked, None, None, 0), 1.0, (cost.macs(NOTHING), 0))
        assert cost.macs(gone) == nearest
    inputs = keras.Input((4,))
    with pytest.raises(ModelError, match="no channel of the model can be removed"):
        explain(keras.Model(inputs, L.Dense(2, name="only")(inputs)), PruneChannelsSettings())
    with pytest.raises(ModelError, match="no layer fits 'stm'"):
        explain(network(), PruneChannelsSettings(protect=("stm",)))
    with pytest.raises(ValidationError, match="one target at a time"):
        PruneChannelsSettings(macs=0.5, ratio=0.5)
    with pytest.raises(ValidationError, match="a size is a number"):
        PruneChannelsSettings.model_validate({"flash": "9 kilo"})
    assert PruneChannelsSettings.model_validate({"flash": "9 KiB"}).flash == 9216
    plain = keras.Sequential([keras.Input((4,)), L.Dense(6), L.Dense(2)])
    graph = ChannelGraph.from_model(plain)
    with pytest.raises(ModelError, match="'batchnorm-scale' says nothing"):
        score(graph, PruneChannelsSettings(criterion="batchnorm-scale"), None, None, 0)


@pytest.mark.parametrize(("limit", "unit"), [("flash=900", "B"), ("macs=50", "MACs")])
def test_a_budget_that_nothing_can_meet_is_refused_before_work_starts(
    toy_model: Path, toy_data: Path, tmp_path: Path, limit: str, unit: str
) -> None:
    with pytest.raises(BudgetError) as caught:
        penjing.compress(toy_model, data=toy_data, budget=limit, output=tmp_path / "run")
    assert "no recipe can bring this model to" in caught.value.what and unit in caught.value.what
    assert not list(tmp_path.glob("run/steps/*")) and not (tmp_path / "run/bundle").exists()
    # The named one is not refused.
    nearest = caught.value.hint.split(" ")[0]
    penjing.compress(toy_model, data=toy_data, budget=nearest, output=tmp_path / "again")


def test_a_grouped_convolution_that_is_left_with_one_channel_a_group_is_counted(tmp_path: Path) -> None:
    """It is a depthwise one then, which makes no channels of its own."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 3))
    x = L.Conv2D(8, 3, activation="relu", name="first")(inputs)
    x = L.Conv2D(8, 3, groups=4, activation="relu", name="grouped")(x)
    model = keras.Model(inputs, L.Dense(2, name="head")(L.GlobalAveragePooling2D()(x)))
    generator = np.random.default_rng(0)
    data = {"x": generator.normal(size=(60, 6, 6, 3)).astype("float32"), "y": generator.integers(0, 2, 60)}
    step = Recipe.from_toml('[[steps]]\ntechnique = "prune-channels"\nparams = 9\nnearest = true\nepochs = 0\n')
    penjing.compress(model, step, data, output=tmp_path / "run")
    outcome = json.loads((tmp_path / "run/steps/01-prune-channels/outcome.json").read_text())
    rows = {row["layer"]: (row["before"], row["after"]) for row in outcome["layers"]}
    smaller = penjing.load_model(tmp_path / "run/steps/01-prune-channels/model.keras")
    assert rows["grouped"] == (8, smaller.get_layer("grouped").filters) and rows["grouped"][1] < 8


def test_the_sizes_of_a_depthwise_kernel_with_a_multiplier_are_found_in_the_file() -> None:
    keras.utils.set_random_seed(0)
    layer = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="it")
    model = keras.Sequential([keras.Input((8, 8, 4)), layer, keras.layers.Flatten(), keras.layers.Dense(2)])
    promise = ChannelCounts.of(model, ["it"])
    assert promise.shapes == {"it": (3, 3, 4, 2)}
    content = to_litert(model, ExportSettings())
    assert promise.check_file(content) == []
    for wrong in ((3, 3, 4, 3), (3, 3, 5, 2), (3, 2, 4, 2)):
        assert [v.layer for v in ChannelCounts(shapes={"it": wrong}).check_file(content)] == ["it"]
