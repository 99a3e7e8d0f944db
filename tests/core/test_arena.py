"""The arena is what a device must set aside: with it the network runs, with one byte fewer it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from penjing.contract import ExportSettings
from penjing.export.litert import to_litert
from penjing.measure.tflm import measure_arena, run_tflm
from penjing.runtime import LiteRTModel

layers = keras.layers


def int8_file(*stack: keras.layers.Layer, shape: tuple[int, ...]) -> bytes:
    model = keras.Sequential([keras.Input(shape), *stack])
    # Weights that no earlier test has a say in: the layers above draw theirs when the model is built.
    generator = np.random.default_rng(3)
    model.set_weights([generator.normal(0, 0.4, weight.shape) for weight in model.get_weights()])
    return to_litert(
        model, ExportSettings(mode="int8"), np.random.default_rng(0).normal(size=(20, *shape)).astype("float32")
    )


def runs_with(arena_bytes: int, file: Path) -> bool:
    # In a process of its own: an arena that is too small may end it.
    script = (
        "import sys\nfrom tflite_micro.python.tflite_micro import runtime\n"
        "runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2])).invoke()\n"
    )
    command = [sys.executable, "-c", script, str(file), str(arena_bytes)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("stack", "shape"),
    [
        ([layers.Dense(3, activation="softmax")], (5,)),
        ([layers.Conv2D(8, 3), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(4)], (12, 12, 3)),
        # Many small tensors: planning needs more for a moment than what stays allocated.
        ([layers.LSTM(6, unroll=True), layers.Dense(2)], (7, 5)),
    ],
    ids=["dense", "convolution", "lstm"],
)
def test_the_arena_runs_and_one_byte_fewer_does_not(stack: list, shape: tuple[int, ...], tmp_path: Path) -> None:
    content = int8_file(*stack, shape=shape)
    file = tmp_path / "model.tflite"
    file.write_bytes(content)
    arena = measure_arena(content)
    assert arena.arena_bytes is not None and arena.note == ""
    assert runs_with(arena.arena_bytes, file)
    assert not runs_with(arena.arena_bytes - 1, file)


def test_a_file_that_is_damaged_has_no_arena_and_says_why() -> None:
    arena = measure_arena(b"\x1c\x00\x00\x00TFL3" + b"\xff" * 40)
    assert arena.arena_bytes is None and arena.note.startswith("TFLM:")


def test_tflm_answers_as_the_reference_kernels_do_but_for_one_step() -> None:
    content = int8_file(layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3), shape=(6, 6, 1))
    x = np.random.default_rng(1).integers(-128, 128, (30, 6, 6, 1)).astype(np.int8)
    outputs, why = run_tflm(content, [x])
    assert why == ""
    # A fully connected layer's sums are scaled with one rounding by LiteRT and with two by TFLM.
    difference = np.abs(outputs.astype(int) - LiteRTModel(content, kernels="reference").predict_raw(x))
    assert difference.max() <= 1 and (difference == 0).mean() > 0.9


def test_when_the_time_is_over_the_first_rows_are_given() -> None:
    content = int8_file(layers.Dense(3), shape=(4,))
    x = np.random.default_rng(2).integers(-128, 128, (50, 4)).astype(np.int8)
    outputs, why = run_tflm(content, [x], seconds=0.0)
    assert why == "" and outputs is not None
    assert np.array_equal(outputs, run_tflm(content, [x[:1]])[0])


def test_a_file_in_which_tflm_hangs_is_given_up_and_said_to_be_one() -> None:
    """As it does in some loops that LiteRT comes to the end of: a verification would wait for ten minutes, twice."""

    def endless(x):
        loop = tf.while_loop(lambda step, _: step < 2_000_000_000, lambda step, y: (step + 1, y * 0.5), [0, x])
        return loop[1]

    content = to_litert(keras.Sequential([keras.Input((3,)), layers.Lambda(endless)]), ExportSettings())
    arena = measure_arena(content, patience=3)
    assert arena.arena_bytes is None and "hangs" in arena.note
    outputs, why = run_tflm(content, [np.zeros((1, 3), "float32")], patience=3)
    assert outputs is None and "hangs" in why


def test_a_module_in_the_users_folder_does_not_take_tflms_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')\n")
    monkeypatch.chdir(tmp_path)
    assert measure_arena(int8_file(layers.Dense(3), shape=(4,))).arena_bytes is not None
