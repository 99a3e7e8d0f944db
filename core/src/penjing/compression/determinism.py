"""Equal seeds, equal files: what TensorFlow needs for that on a CPU."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import keras
import tensorflow as tf


def make_deterministic() -> bool:
    """Ask TensorFlow for the same result in every process; to be called before it has computed anything.

    Deterministic kernels alone were seen to differ from process to process on two cores: the order in which
    independent operations finish has to be fixed too, hence one inter-op thread. Kernels keep all cores.

    Returns:
        False where TensorFlow had started already, so that its threads could not be set: results of two processes
        may then differ in the last bits.
    """
    tf.config.experimental.enable_op_determinism()
    if tf.config.threading.get_inter_op_parallelism_threads() == 1:
        return True
    try:
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return False
    return True


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
