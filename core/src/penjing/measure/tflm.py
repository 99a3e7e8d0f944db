"""TensorFlow Lite Micro on this machine: what the arena really needs, and what its kernels answer."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from penjing.errors import MissingExtraError

LARGEST_ARENA_BYTES = 256 * 1024 * 1024
"""Room that is offered; how much less is enough is then found by trying."""
SECONDS_FOR_OUTPUTS = 120.0
"""TFLM's reference kernels are slow: after this time the remaining inputs are left out."""
PATIENCE = 60
"""Seconds for one input, and more by the file's MACs: TFLM never comes to the end of some loops."""
_SECONDS_OF_GRACE = 480.0


@dataclass(frozen=True, kw_only=True)
class Arena:
    """The working memory that TFLM needs for a model, or why it cannot run it."""

    arena_bytes: int | None
    """The least that runs, bookkeeping included; None where TFLM cannot run the file."""
    note: str = ""
    """What TFLM lacks: 'no kernel for CONV_3D'."""


def measure_arena(content: bytes, *, patience: int = PATIENCE) -> Arena:
    """Find the least arena with which TFLM runs a file: with that many bytes it runs, with one fewer it does not.

    Args:
        content: A .tflite file.
        patience: Seconds for one input; more are given for the file's MACs.

    Raises:
        MissingExtraError: tflite-micro is not installed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(content)
        done = _run(folder, 0.0, patience)
        found = folder / "arena.json"
        if isinstance(done, str):
            return Arena(arena_bytes=None, note=done)
        if done.returncode != 0 or not found.is_file():
            return Arena(arena_bytes=None, note=_reason(done))
        return Arena(arena_bytes=int(json.loads(found.read_bytes())))


def run_tflm(
    content: bytes,
    inputs: Sequence[np.ndarray],
    *,
    seconds: float = SECONDS_FOR_OUTPUTS,
    patience: int = PATIENCE,
) -> tuple[np.ndarray | None, str]:
    """First output of TFLM for each row of quantized (or float32) inputs.

    Args:
        content: A .tflite file.
        inputs: One array of shape (n, *input_shape) per input of the file, in its dtype.
        seconds: When this time is over, the rows that are left are left out; one row is always run.
        patience: As in `measure_arena`.

    Returns:
        Outputs of the first rows, shape (at most n, *output_shape), in the file's dtype and "", or None and the reason.

    Raises:
        MissingExtraError: tflite-micro is not installed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(content)
        np.savez(
            folder / "inputs.npz",
            **{f"input-{number:03d}": array for number, array in enumerate(inputs)},  # type: ignore[arg-type]
        )
        done = _run(folder, seconds, patience)
        if isinstance(done, str):
            return None, done
        outputs = folder / "outputs.npz"
        if done.returncode != 0 or not outputs.is_file():
            return None, _reason(done)
        with np.load(outputs, allow_pickle=False) as archive:
            return archive["outputs"], ""


def tflm_is_installed() -> bool:
    """Whether tflite-micro can be imported here; there are wheels for Linux on x86-64 only."""
    return importlib.util.find_spec("tflite_micro") is not None


def _run(folder: Path, seconds: float, patience: int) -> subprocess.CompletedProcess[str] | str:
    """The worker's end, or the sentence that it did not come to one."""
    if not tflm_is_installed():
        raise MissingExtraError(
            "TensorFlow Lite Micro is not installed",
            why="the arena is measured by it, never estimated",
            hint="pip install 'penjing[microcontroller]' (wheels exist for Linux on x86-64)",
        )
    limit = seconds + _SECONDS_OF_GRACE
    worker = "penjing.measure.tflm_worker"
    try:
        # -P: a file of the user's folder that is called like a module must not take its place.
        return subprocess.run(
            [sys.executable, "-P", "-m", worker, *map(str, (folder, LARGEST_ARENA_BYTES, seconds, patience))],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"TFLM was stopped after {limit:.0f} s"


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == -signal.SIGALRM:
        return "TFLM does not come to the end of an input: it hangs in this file"
    text = done.stderr + done.stdout
    missing = re.findall(r"Didn't find op for builtin opcode '([A-Z0-9_]+)'", text)
    missing += re.findall(r"Failed to get registration from op code ([A-Z0-9_]+)", text)
    if missing:
        return "TFLM has no kernel for " + ", ".join(sorted(set(missing)))
    lines = [
        line.strip()
        for line in text.splitlines()
        if line.strip() and not line.startswith((" ", "Traceback", "RuntimeError: TFLM failed"))
    ]
    if lines:
        return "TFLM: " + lines[0][:300]
    return f"TFLM ended with exit code {done.returncode}"
