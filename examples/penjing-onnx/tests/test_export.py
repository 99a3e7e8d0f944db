"""A real run, exported, and run in onnxruntime."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import penjing
import pytest
from penjing.errors import UsageError

from penjing_onnx.export import write

RECIPE = """
name = "small"

[[steps]]
technique = "prune-channels"
ratio = 0.5

[[steps]]
technique = "{last}"
{setting}
"""


@pytest.fixture(params=[("quantize", 'mode = "int8"'), ("quantize-aware-training", "epochs = 1")], ids=lambda p: p[0])
def bundle(tmp_path: Path, request: pytest.FixtureRequest):
    keras.utils.set_random_seed(0)  # weights too: what is red once must be red again
    generator = np.random.default_rng(0)
    x = generator.normal(size=(240, 8, 8, 3)).astype(np.float32)
    y = (x[:, :4].mean(axis=(1, 2, 3)) > x[:, 4:].mean(axis=(1, 2, 3))).astype(np.int64)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    last, setting = request.param
    (tmp_path / "small.toml").write_text(RECIPE.format(last=last, setting=setting))
    run = penjing.compress(model, data={"x": x, "y": y}, recipe=tmp_path / "small.toml", output=tmp_path / "run")
    return penjing.load_bundle(run.bundle)


def test_onnxruntime_answers_as_the_pruned_model_does(bundle, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    model, figures = write(bundle, tmp_path / "out")
    pruned = penjing.load_model(next(bundle.run_folder.glob("steps/01-*/model.keras")))
    x = np.random.default_rng(5).normal(size=(7, 8, 8, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.read_bytes())
    assert [entry.name for entry in session.get_inputs()] == ["input_0"]
    found = session.run(None, {"input_0": x})[0]
    assert found == pytest.approx(pruned.predict(x, verbose=0), abs=1e-5)
    document = json.loads(figures.read_text())
    assert document["model"] in ("step 01-prune-channels", "step 02-quantize")  # not the one with simulated integers
    assert document["onnxruntime_minus_keras"] < 1e-5
    # Pruned without training it is another function than the reference, and the int8 file is close to it.
    assert document["onnxruntime_minus_reference"] > 10 * document["onnxruntime_minus_keras"]
    assert document["onnxruntime_minus_tflite"] < 0.2


def test_a_bundle_without_its_run_is_refused(bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.folder, tmp_path / "elsewhere")
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="from the run that made the bundle"):
        write(penjing.load_bundle(tmp_path / "elsewhere"), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
