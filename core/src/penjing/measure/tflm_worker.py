"""The process that runs a file on TensorFlow Lite Micro's reference kernels: `python -m penjing.measure.tflm_worker`.

It is a process of its own because TFLM reports on C's stderr and ends the process on some files. It reads a folder with
model.tflite and perhaps inputs.npz, and writes outputs.npz there; what TFLM says about its arena goes to stderr, where
`penjing.measure.tflm` reads it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def main(folder: Path, arena_bytes: int) -> None:
    """Run the model of a folder, once for its arena or once per input."""
    from tflite_micro.python.tflite_micro import runtime

    content = (folder / "model.tflite").read_bytes()
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
    inputs = folder / "inputs.npz"
    if not inputs.is_file():
        interpreter.print_allocations()
        return
    with np.load(inputs, allow_pickle=False) as archive:
        arrays = [archive[name] for name in sorted(archive.files)]
    rows = []
    for index in range(len(arrays[0])):
        for number, array in enumerate(arrays):
            interpreter.set_input(array[index : index + 1], number)
        interpreter.invoke()
        rows.append(np.array(interpreter.get_output(0))[0])
    np.savez(folder / "outputs.npz", outputs=np.stack(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
