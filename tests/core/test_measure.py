"""MACs are those counted by hand, the arena is the least that runs, latency is of single inferences."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from penjing.contract import ExportSettings
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph
from penjing.measure.latency import measure_latency
from penjing.measure.macs import count_macs
from penjing.measure.tflm import measure_arena, run_tflm

layers = keras.layers


def file_of(*stack: keras.layers.Layer, shape: tuple[int, ...]) -> bytes:
    return to_litert(keras.Sequential([keras.Input(shape), *stack]), ExportSettings())


@pytest.mark.parametrize(
    ("stack", "shape", "macs"),
    [
        ([layers.Dense(7)], (5,), 5 * 7),
        ([layers.Conv2D(8, (3, 2), padding="same")], (6, 4, 3), 6 * 4 * 8 * 3 * 2 * 3),
        ([layers.Conv2D(8, 3, strides=2)], (9, 9, 4), 4 * 4 * 8 * 9 * 4),
        ([layers.Conv2D(8, 3, groups=2, padding="same")], (5, 5, 4), 5 * 5 * 8 * 9 * 2),
        ([layers.DepthwiseConv2D(3, padding="same")], (5, 6, 4), 5 * 6 * 4 * 9),
        ([layers.SeparableConv2D(10, 3, padding="same")], (5, 6, 4), 5 * 6 * 4 * 9 + 5 * 6 * 10 * 4),
        ([layers.Conv1D(6, 5, padding="same")], (12, 3), 12 * 6 * 5 * 3),
        ([layers.Conv2DTranspose(6, 2, strides=2)], (4, 4, 3), 4 * 4 * 3 * 2 * 2 * 6),
        ([layers.Conv3D(4, 2)], (3, 4, 5, 2), 2 * 3 * 4 * 4 * 8 * 2),
        # The first step's state is zero, which the converter knows: six recurrent products for seven inputs.
        ([layers.LSTM(6, unroll=True)], (7, 5), 7 * 4 * 5 * 6 + 6 * 4 * 6 * 6),
        ([layers.Flatten(), layers.ReLU()], (4, 4), 0),
    ],
)
def test_macs_are_those_counted_by_hand(stack: list, shape: tuple[int, ...], macs: int) -> None:
    assert count_macs(FileGraph.from_bytes(file_of(*stack, shape=shape))).total == macs


def test_a_loop_whose_rounds_the_file_does_not_say_is_not_passed_off_as_a_full_count() -> None:
    count = count_macs(FileGraph.from_bytes(file_of(layers.LSTM(6), shape=(7, 5))))
    assert not count.is_complete
    assert count.total == 4 * (5 * 6 + 6 * 6)
    assert count_macs(FileGraph.from_bytes(file_of(layers.Dense(3), shape=(7,)))).is_complete


def test_mlperf_tinys_network_has_the_macs_of_its_paper(penjing_data: Path) -> None:
    content = (penjing_data / "mlperf_tiny/kws_ref_model.tflite").read_bytes()
    # 25x5 maps of 64 channels: stem 10x4 on one channel, four times depthwise 3x3 and pointwise, then 64 to 12.
    by_hand = 125 * 64 * 40 + 4 * (125 * 64 * 9 + 125 * 64 * 64) + 64 * 12
    assert count_macs(FileGraph.from_bytes(content)).total == by_hand


def test_mlperf_tinys_network_needs_the_arena_that_is_published(penjing_data: Path) -> None:
    content = (penjing_data / "mlperf_tiny/kws_ref_model.tflite").read_bytes()
    assert measure_arena(content).arena_bytes == 24_272


def test_bytes_by_kind_add_up_to_the_file(toy_model: Path) -> None:
    content = to_litert(keras.models.load_model(toy_model, compile=False), ExportSettings())
    kinds = FileGraph.from_bytes(content).bytes_by_kind
    assert sum(kinds.values()) == len(content)
    # stem 3x3x1x12, depthwise 3x3x12, hidden 192x40, quarter 40x4, each with biases; float32.
    weights = 108 + 12 + 108 + 12 + 7680 + 40 + 160 + 4
    assert 4 * weights <= kinds["weights"] <= 4 * weights + 64


def test_the_arena_is_the_least_that_runs(toy_model: Path, toy_arrays: dict[str, np.ndarray]) -> None:
    from tflite_micro.python.tflite_micro import runtime

    model = keras.models.load_model(toy_model, compile=False)
    content = to_litert(model, ExportSettings(mode="int8"), toy_arrays["x"][:50])
    arena = measure_arena(content)
    assert arena.note == "" and arena.arena_bytes is not None
    runtime.Interpreter.from_bytes(content, arena_size=arena.arena_bytes).invoke()
    with pytest.raises(RuntimeError):
        runtime.Interpreter.from_bytes(content, arena_size=arena.arena_bytes - 64)


def test_an_operator_that_tflm_lacks_is_named() -> None:
    content = file_of(layers.Conv3D(2, 2), shape=(3, 3, 3, 1))
    arena = measure_arena(content)
    assert arena.arena_bytes is None
    assert "CONV_3D" in arena.note
    outputs, why = run_tflm(content, [np.zeros((1, 3, 3, 3, 1), "float32")])
    assert outputs is None and "CONV_3D" in why


def test_latency_of_a_tiny_network_is_counted_for_a_while_and_of_a_slow_one_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = file_of(layers.Dense(3), shape=(4,))
    now = iter(range(10_000))
    monkeypatch.setattr("penjing.measure.latency.monotonic", lambda: next(now) / 1024)  # a millisecond a look
    many = measure_latency(content, repeats=40, warmup=3, min_seconds=0.5, max_seconds=3.0).repeats
    assert many == 511  # for half a second, after warming up
    assert measure_latency(content, repeats=600, warmup=3, min_seconds=0.5, max_seconds=3.0).repeats == 600
    assert measure_latency(content, repeats=600, warmup=3, min_seconds=0.125, max_seconds=0.25).repeats == 255
    assert measure_latency(content, repeats=600, warmup=3, min_seconds=0.0, max_seconds=0.0).repeats == 10


def test_latency_counts_single_inferences_and_names_threads_and_runtime() -> None:
    latency = measure_latency(file_of(layers.Dense(3), shape=(4,)), repeats=40, warmup=3, min_seconds=0.0)
    assert latency.repeats == 40
    assert 0 < latency.p50_us <= latency.p99_us
    assert (latency.threads, latency.runtime) == (1, "LiteRT, XNNPACK")
