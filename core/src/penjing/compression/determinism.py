"""Equal seeds, equal files: what TensorFlow needs for that on a CPU."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf
from tensorflow.python.framework import config  # only there can determinism be switched off again


def fix_thread_order() -> bool:
    """Let independent operations run one after the other, so that they end in the same order in every process.

    Deterministic kernels alone were seen to differ from process to process on two cores. Kernels keep all cores. To be
    called before TensorFlow has computed anything.

    Returns:
        False where TensorFlow had started already: results of two processes may then differ in the last bits.
    """
    if tf.config.threading.get_inter_op_parallelism_threads() == 1:
        return True
    try:
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return False
    return True


@contextlib.contextmanager
def deterministic_kernels() -> Iterator[None]:
    """Kernels that give the same result every time, and an error for a random operation without a seed. Afterwards
    the caller's process is as it was: its own code may draw without seeds."""
    was_on = config.is_op_determinism_enabled()
    config.enable_op_determinism()
    try:
        yield
    finally:
        if not was_on:
            config.disable_op_determinism()


def mix_seed(seed: int, *parts: str | int) -> int:
    """A seed of 31 bits that depends on all parts, so that steps and epochs draw apart from each other."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def seed_everything(seed: int, *parts: str | int) -> int:
    """Seed Python, numpy and Keras with `mix_seed`; returns that seed."""
    mixed = mix_seed(seed, *parts)
    keras.utils.set_random_seed(mixed)
    return mixed


def fingerprint(parts: Sequence[str]) -> str:
    """A hash of everything that a result depends on: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part.encode())
    return digest.hexdigest()
