"""How long one inference takes on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic, perf_counter_ns

import numpy as np

from penjing.runtime.interpreter import Kernels, LiteRTModel


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Microseconds of one inference with batch 1."""

    p50_us: float
    p99_us: float
    threads: int
    runtime: str
    repeats: int


def measure_latency(
    content: bytes,
    *,
    threads: int = 1,
    kernels: Kernels = "xnnpack",
    warmup: int = 20,
    repeats: int = 300,
    min_seconds: float = 0.5,
    max_seconds: float = 3.0,
) -> Latency:
    """Time single inferences, each on its own, after a warm-up.

    Args:
        content: A .tflite file.
        threads: Threads of the interpreter.
        warmup: Inferences that are not counted, at least.
        repeats: Inferences that are counted, at least.
        min_seconds: Count for no less than this time, after a tenth of it that is not counted: 300 inferences of a tiny
            network are over before the processor has its clock up, and within one turn of another process.
        max_seconds: Stop counting after this time; at least 10 are counted.

    Raises:
        ModelError: The file cannot be run.
    """
    model = LiteRTModel(content, kernels=kernels, threads=threads)
    # Zeros are valid for every input; what memory happens to hold is not (a number of a word, say).
    model.predict_raw([np.zeros(info.shape, info.dtype) for info in model.inputs])
    began, unmeasured = monotonic(), 0
    while unmeasured < warmup or monotonic() - began < min_seconds / 10:
        model.invoke()
        unmeasured += 1
    times: list[int] = []
    began = monotonic()
    while _goes_on(len(times), monotonic() - began, repeats, min_seconds, max_seconds):
        start = perf_counter_ns()
        model.invoke()
        times.append(perf_counter_ns() - start)
    microseconds = np.array(times) / 1000.0
    return Latency(
        p50_us=round(float(np.percentile(microseconds, 50)), 1),
        p99_us=round(float(np.percentile(microseconds, 99)), 1),
        threads=threads,
        runtime=f"LiteRT, {'XNNPACK' if kernels == 'xnnpack' else 'reference kernels'}",
        repeats=len(times),
    )


def _goes_on(counted: int, seconds: float, repeats: int, min_seconds: float, max_seconds: float) -> bool:
    """Whether another inference is to be counted."""
    return counted < 10 or (seconds < max_seconds and (counted < repeats or seconds < min_seconds))
