"""Every figure of a file, measured in the same way whoever wrote it. The test part is read here, and only here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def measure(content: bytes, test: Path) -> dict[str, Any]:
    """Figures of a .tflite file.

    Args:
        content: The file.
        test: TASK-test.npz of `task_data`.

    Returns:
        accuracy; correct, a text of a 0 or 1 for each test example; flash_bytes, zip_bytes; arena_bytes and arena_note
        of TFLM; macs; latency_us (one thread, median); input and output type.
    """
    from penjing.measure.file_graph import FileGraph
    from penjing.measure.latency import measure_latency
    from penjing.measure.macs import count_macs
    from penjing.measure.tflm import measure_arena
    from penjing.metrics import decisions
    from penjing.runtime import LiteRTModel

    graph = FileGraph.from_bytes(content)
    arena = measure_arena(content)
    latency = measure_latency(content, threads=1)
    model = LiteRTModel(content)
    with np.load(test, allow_pickle=False) as archive:
        correct = decisions(model.predict(archive["x"])) == archive["y"]
    return {
        "accuracy": float(correct.mean()),
        "correct": "".join("01"[int(right)] for right in correct),
        "flash_bytes": len(content),
        "zip_bytes": graph.zip_bytes,
        "arena_bytes": arena.arena_bytes,
        "arena_note": arena.note,
        "macs": count_macs(graph).total,
        "latency_us": latency.p50_us,
        "types": f"{model.inputs[0].dtype} -> {model.outputs[0].dtype}",
    }
