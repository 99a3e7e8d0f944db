"""The technique `quantize` in a recipe: settings, explanation, promises of earlier steps, and the run's file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from pydantic import ValidationError

import penjing
from penjing.compression import growth
from penjing.compression.quantization.post_training import explain
from penjing.compression.settings.quantization import QuantizeSettings
from penjing.contract import ExportSettings
from penjing.errors import CheckFailedError, ModelError, RecipeError
from penjing.export.trial import file_cost
from penjing.measure.file_graph import FileGraph
from penjing.recipe import Recipe
from penjing.runtime import LiteRTModel

PAGE = Path(__file__).resolve().parents[2] / "docs" / "techniques" / "quantize.md"


def compress(model: Path, data: Path, output: Path, steps: str):
    return penjing.compress(model, recipe=Recipe.from_toml(steps), data=data, output=output)


def test_everything_at_once_keeps_the_zeros_of_pruning_and_the_answers(
    toy_model: Path, toy_data: Path, toy_arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    result = compress(
        toy_model,
        toy_data,
        tmp_path / "run",
        """
        [[steps]]
        technique = "prune-weights"
        sparsity = 0.5
        epochs = 0
        [[steps]]
        technique = "quantize"
        mode = "int8"
        calibration = "percentile"
        equalize = true
        rounding = "adaround"
        rounding_updates = 100
        bias_correction = true
        compact_biases = true
        calibration_examples = 64
        layers = { "hidden" = "int4", "quarter" = "int16x8" }
        """,
    )
    content = (result.bundle / "model.tflite").read_bytes()
    by_shape = {t.shape: t for t in FileGraph.from_bytes(content).constants()}
    assert by_shape[(40, 192)].dtype == "int4"
    assert (by_shape[(40, 192)].values == 0).mean() > 0.4
    assert by_shape[(4, 40)].dtype == "int8"
    assert LiteRTModel(content).outputs[0].dtype == "int16"
    reference = keras.models.load_model(toy_model, compile=False).predict(toy_arrays["x"], verbose=0)
    outputs = LiteRTModel(content).predict(toy_arrays["x"])
    assert np.mean(outputs.argmax(1) == reference.argmax(1)) > 0.9


def test_a_step_says_what_it_did_to_each_layer(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    compress(
        toy_model,
        toy_data,
        tmp_path / "run",
        """
        [[steps]]
        technique = "quantize"
        mode = "weight-only-int4"
        equalize = true
        bias_correction = true
        layers = { "quarter" = "float" }
        """,
    )
    outcome = json.loads((tmp_path / "run/steps/01-quantize/outcome.json").read_text())
    said = {entry["layer"]: entry["change"] for entry in outcome["layers"]}
    assert said["quarter"].startswith("left in float32: fits 'quarter'")
    assert said["hidden"].startswith("int4 weights: mode weight-only-int4")
    assert "equalized with 'depthwise'" in said["stem"]
    assert re.search(r"mean output error \S+ -> \S+", said["hidden"])
    assert "bias corrected" not in said["quarter"]
    assert outcome["summary"].startswith("int4 weights, float32 arithmetic, 1 layers float, equalized")


def test_a_file_that_grows_is_refused_in_every_mode(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="a"), keras.layers.Dense(2, name="b")])
    model.save(tmp_path / "tiny.keras")
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=generator.normal(size=(80, 2)).astype("float32"), y=generator.integers(0, 2, 80))
    for mode in ("int8", "int16x8"):
        with pytest.raises(CheckFailedError, match="makes the file larger"):
            compress(
                tmp_path / "tiny.keras",
                tmp_path / "data.npz",
                tmp_path / mode,
                f'[[steps]]\ntechnique = "quantize"\nmode = "{mode}"\n',
            )


def test_recurrent_layers_that_grow_by_being_written_out_say_so_and_what_keeps_the_loop(tmp_path: Path) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((20, 3)), layers.GRU(8, return_sequences=True), layers.GRU(8), layers.Dense(2)]
    )
    model.save(tmp_path / "gru.keras")
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(80, 20, 3)).astype("float32"), generator.integers(0, 2, 80)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    recipe = '[[steps]]\ntechnique = "quantize"\nmode = "{}"\n'.format
    with pytest.raises(CheckFailedError) as caught:
        compress(tmp_path / "gru.keras", tmp_path / "data.npz", tmp_path / "int8", recipe("int8"))
    assert "each time step of the recurrent layers is written out" in str(caught.value)
    for mode in ("weight-only-int8", "dynamic"):
        assert mode in str(caught.value)
        result = compress(tmp_path / "gru.keras", tmp_path / "data.npz", tmp_path / mode, recipe(mode))
        assert result.metrics["compressed"]["flash_bytes"] < result.metrics["reference"]["flash_bytes"]


def gru_over(steps: int) -> keras.Model:
    layers = keras.layers
    return keras.Sequential([keras.Input((steps, 3)), layers.Bidirectional(layers.GRU(16)), layers.Dense(2)])


def test_growth_is_found_before_anything_is_trained(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(80, 20, 3)).astype("float32"), generator.integers(0, 2, 80)
    recipe = Recipe.from_toml(
        """
        [[steps]]
        technique = "prune-channels"
        ratio = 0.3
        [[steps]]
        technique = "quantize"
        """
    )
    with pytest.raises(CheckFailedError, match=r"steps\.2\.mode=weight-only-int8"):
        penjing.compress(gru_over(20), recipe, {"x": x, "y": y}, output=tmp_path / "run")
    assert not (tmp_path / "run/reference").exists() and not (tmp_path / "run/steps").exists()


def test_a_shipped_recipe_keeps_the_loop_of_a_small_recurrent_network(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(80, 20, 3)).astype("float32"), generator.integers(0, 2, 80)
    result = penjing.compress(gru_over(20), "default", {"x": x, "y": y}, output=tmp_path / "run")
    assert result.metrics["compressed"]["flash_bytes"] < result.metrics["reference"]["flash_bytes"]
    summary = json.loads((tmp_path / "run/steps/01-quantize/outcome.json").read_text())["summary"]
    assert re.match(r"int8 weights, float32 arithmetic; int8 would make the file larger, [\d,]+ -> [\d,]+ B", summary)


def test_a_loop_that_no_integers_can_be_had_for_takes_the_other_mode(tmp_path: Path) -> None:
    layers = keras.layers
    generator = np.random.default_rng(0)
    data = {"x": generator.normal(size=(60, 4, 6, 6, 2)).astype("float32"), "y": generator.integers(0, 2, 60)}
    model = keras.Sequential([keras.Input((4, 6, 6, 2)), layers.ConvLSTM2D(8, 3), layers.Flatten(), layers.Dense(2)])
    result = penjing.compress(model, "default", data, output=tmp_path / "run")
    assert result.metrics["compressed"]["flash_bytes"] < result.metrics["reference"]["flash_bytes"]
    summary = json.loads((tmp_path / "run/steps/01-quantize/outcome.json").read_text())["summary"]
    assert re.match(r"int8 weights, float32 arithmetic; .* holds a loop, which cannot be quantized", summary)
    strict = Recipe.from_toml('[[steps]]\ntechnique = "quantize"\n')
    with pytest.raises(ModelError, match="holds a loop"):
        penjing.compress(model, strict, data, output=tmp_path / "strict")


@pytest.mark.parametrize("recipe", ["default", "accurate"])
def test_where_no_integers_make_it_smaller_a_shipped_recipe_leaves_the_file_in_float32(
    recipe: str, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    only = keras.layers.Dense(2, activation="softmax", bias_initializer="ones", name="only")
    model = keras.Sequential([keras.Input((4,)), only])
    generator = np.random.default_rng(0)
    data = {"x": generator.normal(size=(80, 4)).astype("float32"), "y": generator.integers(0, 2, 80)}
    result = penjing.compress(model, recipe, data, output=tmp_path / "run")
    assert result.metrics["compressed"]["flash_bytes"] == result.metrics["reference"]["flash_bytes"]
    said = [json.loads(path.read_text())["summary"] for path in (tmp_path / "run/steps").glob("*/outcome.json")]
    numbers = r"int8 would make the file larger, [\d,]+ -> [\d,]+ B, and weight-only-int8 not smaller, [\d,]+ B"
    assert sum(re.search(f"left in float32: {numbers}", text) is not None for text in said) == 1
    (explained,) = explain(model, QuantizeSettings(otherwise="weight-only-int8"))
    assert re.fullmatch(f"left in float32: {numbers}", explained.change)


@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "LSTM"])
@pytest.mark.parametrize("mode", ["int8", "int16x8"])
def test_the_bound_of_written_out_steps_is_below_what_they_take(kind: str, mode: str) -> None:
    """Or the operator of an LSTM would be thought to grow; and hundreds of steps are not written to know."""
    layers = keras.layers

    def network(steps: int) -> keras.Model:
        return keras.Sequential([keras.Input((steps, 2)), getattr(layers, kind)(2), layers.Dense(2)])

    settings = ExportSettings(mode=mode)
    bound = growth.steps_bytes(network(12), fused=mode == "int8")
    assert bound == (0 if (kind, mode) == ("LSTM", "int8") else 12 * growth.LEAST_STEP_BYTES)
    step = (file_cost(network(12), settings).flash_bytes - file_cost(network(8), settings).flash_bytes) / 4
    assert step >= bound / 12
    assert growth.file_bytes(network(2_000), settings)[1] == ("" if bound == 0 else "at least ")


def test_settings_of_the_other_mode_must_fit_too() -> None:
    with pytest.raises(ValidationError, match="mode weight-only-int8 has no int16x8 layers"):
        QuantizeSettings(otherwise="weight-only-int8", layers={"a": "int16x8"})
    with pytest.raises(ValidationError, match="otherwise is about int8 and int16x8"):
        QuantizeSettings(mode="dynamic", otherwise="float16")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "dynamic", "layers": {"a": "int16x8"}}, "mode dynamic has no int16x8 layers"),
        ({"mode": "float16", "layers": {"a": "int4"}}, "mode float16 has no int4 layers"),
        ({"mode": "dynamic", "compact_biases": True}, "compact_biases is about int8 and int16x8"),
        ({"mode": "float16", "rounding": "adaround"}, "not float16"),
        ({"replace_relu6": True}, "replace_relu6 is a part of equalize"),
        ({"layers": {"a": "int3"}}, "Input should be"),
        ({"percentile": 30}, "greater than 50"),
        ({"calibration_examples": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_before_anything_runs(settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        QuantizeSettings(**settings)


def test_a_pattern_in_a_recipe_that_fits_no_layer_is_refused(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    steps = '[[steps]]\ntechnique = "quantize"\nlayers = { "hiden" = "float" }\n'
    with pytest.raises(ModelError, match="no layer fits 'hiden'"):
        compress(toy_model, toy_data, tmp_path / "run", steps)


def test_explain_gives_each_layers_precision_and_reason(toy_model: Path) -> None:
    model = keras.models.load_model(toy_model, compile=False)
    settings = QuantizeSettings(layers={"hid*": "int4", "quarter": "float"}, equalize=True)
    said = {change.layer: change.change for change in explain(model, settings)}
    assert said["hidden"].startswith("int4 weights, int8 activations: fits 'hid*' (7,720 parameters)")
    assert said["quarter"].startswith("left in float32: fits 'quarter'")
    assert said["stem"].startswith("int8 weights and activations: mode int8")
    assert said["stem"].endswith("equalized with 'depthwise'")
    with pytest.raises(ModelError, match="no layer fits"):
        explain(model, QuantizeSettings(layers={"nothing": "float"}))


def test_the_pages_recipes_are_valid_and_every_setting_is_on_it(run_penjing, toy_model: Path, tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    recipes = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(recipes) >= 2
    for recipe in recipes:
        for step in Recipe.from_toml(recipe).steps:
            QuantizeSettings(**step.settings)
    for name in QuantizeSettings.model_fields:
        assert f"`{name}`" in text, name
    (tmp_path / "recipe.toml").write_text(recipes[0].replace("head", "quarter"))
    done = run_penjing("explain", toy_model, "--recipe", tmp_path / "recipe.toml")
    assert done.returncode == 0, done.stderr
    assert "quarter" in done.stdout


def test_a_mistyped_precision_in_a_recipe_names_its_line(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    steps = '[[steps]]\ntechnique = "quantize"\nlayers = { "hidden" = "int5" }\n'
    with pytest.raises(RecipeError) as caught:
        compress(toy_model, toy_data, tmp_path / "run", steps)
    assert "int5" in str(caught.value)
