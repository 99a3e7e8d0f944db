"""The process in which TFLM runs: it writes to C's stderr and may end its process, so it gets one of its own.

    python -m penjing.measure.tflm_worker FOLDER ARENA_BYTES SECONDS PATIENCE

FOLDER holds model.tflite. With inputs.npz (arrays input-000, ... of shape (n, ...)) the outputs of the first rows,
as many as the seconds allow and at least one, go to outputs.npz. Without it the least arena goes to arena.json.
`penjing.measure.tflm` reads both. A single input that takes longer than PATIENCE, in seconds, ends the process: some
loops never end in TFLM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from penjing.measure.file_graph import FileGraph
from penjing.measure.macs import count_macs

MACS_PER_SECOND = 5_000_000
"""TFLM's reference kernels do more even on a busy machine."""
_patience = 0


def main(folder: Path, arena_bytes: int, seconds: float, patience: int) -> None:
    """Run the model of a folder, for its arena or once per input."""
    global _patience
    content = (folder / "model.tflite").read_bytes()
    _patience = patience + count_macs(FileGraph.from_bytes(content)).total // MACS_PER_SECOND
    inputs = folder / "inputs.npz"
    if inputs.is_file():
        with np.load(inputs, allow_pickle=False) as archive:
            arrays = [archive[name] for name in sorted(archive.files)]
        np.savez(folder / "outputs.npz", outputs=outputs_of(content, arrays, arena_bytes, seconds))
        return
    graph = FileGraph.from_bytes(content).main
    zeros = [np.zeros(graph.tensors[number].shape, graph.tensors[number].dtype) for number in graph.inputs]
    run_once(content, zeros, arena_bytes)  # here, so that the reason of a failure is seen
    (folder / "arena.json").write_text(json.dumps(least_arena(content, zeros, arena_bytes)))


def outputs_of(content: bytes, inputs: Sequence[np.ndarray], arena_bytes: int, seconds: float) -> np.ndarray:
    """First output for the first rows of the inputs, until the time is over."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
    rows: list[np.ndarray] = []
    end = time.monotonic() + seconds
    for index in range(len(inputs[0])):
        if rows and time.monotonic() > end:
            break
        for number, array in enumerate(inputs):
            interpreter.set_input(array[index : index + 1], number)
        _invoke(interpreter)
        rows.append(np.array(interpreter.get_output(0))[0])
    return np.stack(rows)


def run_once(content: bytes, inputs: Sequence[np.ndarray], arena_bytes: int) -> None:
    """Allocate, set the inputs, invoke.

    Raises:
        RuntimeError: TFLM lacks an operator, or the arena is too small.
    """
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
    for number, array in enumerate(inputs):
        interpreter.set_input(array, number)
    _invoke(interpreter)


def _invoke(interpreter: Any) -> None:
    """Answer one input, or end the process by SIGALRM: nothing else ends a kernel that runs."""
    signal.alarm(_patience)
    interpreter.invoke()
    signal.alarm(0)


def least_arena(content: bytes, inputs: Sequence[np.ndarray], enough: int) -> int:
    """The least arena that runs, in bytes, found by trying.

    TFLM's own account (`print_allocations`) holds what stays allocated. Planning the memory needs more for a moment
    where a network has many small tensors: an unrolled LSTM that kept 18,560 bytes ran with 28,056 and not with less.
    """
    high = 1024
    while high < enough and not _runs(content, inputs, high):
        high *= 2
    low, high = high // 2, min(high, enough)
    if high == 1024:
        low = 0
    while high - low > 1:
        middle = (low + high) // 2
        if _runs(content, inputs, middle):
            high = middle
        else:
            low = middle
    return high


def _runs(content: bytes, inputs: Sequence[np.ndarray], arena_bytes: int) -> bool:
    # Some arenas that are too small end the process (SIGABRT), so every trial has its own.
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        run_once(content, inputs, arena_bytes)
    except BaseException:
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
