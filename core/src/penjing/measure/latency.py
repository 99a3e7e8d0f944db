"""How long one inference takes on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

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
    max_seconds: float = 3.0,
) -> Latency:
    """Time single inferences, each on its own, after a warm-up.

    Args:
        content: A .tflite file.
        threads: Threads of the interpreter.
        warmup: Inferences that are not counted.
        repeats: Inferences that are counted, at most.
        max_seconds: Stop counting after this time; at least 10 are counted.

    Raises:
        ModelError: The file cannot be run.
    """
    model = LiteRTModel(content, kernels=kernels, threads=threads)
    # Zeros are valid for every input; what memory happens to hold is not (a number of a word, say).
    model.predict_raw([np.zeros(info.shape, info.dtype) for info in model.inputs])
    for _ in range(warmup):
        model.invoke()
    times: list[int] = []
    began = time.monotonic()
    while len(times) < repeats and (len(times) < 10 or time.monotonic() - began < max_seconds):
        start = time.perf_counter_ns()
        model.invoke()
        times.append(time.perf_counter_ns() - start)
    microseconds = np.array(times) / 1000.0
    return Latency(
        p50_us=round(float(np.percentile(microseconds, 50)), 1),
        p99_us=round(float(np.percentile(microseconds, 99)), 1),
        threads=threads,
        runtime=f"LiteRT, {'XNNPACK' if kernels == 'xnnpack' else 'reference kernels'}",
        repeats=len(times),
    )
