"""Read a recording of any length block by block, in memory that does not depend on its length."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from penjing_datasets.audio import UNREADABLE, check_length, check_rate, why_unreadable
from penjing_datasets.errors import DatasetError

BLOCK_SECONDS = 10.0


class BlockResampler:
    """Samples at another rate, block by block: what comes out, put together, is what `resample` gives for the whole.

    The polyphase filter reaches `10 * max(up, down)` samples of the upsampled signal to either side (SciPy's
    `resample_poly`), so each block is resampled with so much of its neighbours, which is then cut off.
    """

    def __init__(self, rate: int, target_rate: int) -> None:
        divisor = gcd(rate, target_rate)
        self.up, self.down = target_rate // divisor, rate // divisor
        # In input samples, and a multiple of `down`, so that blocks begin on an output sample.
        self._reach = self.down * -(-(10 * max(self.up, self.down) // self.up + 2) // self.down)
        self._before = np.zeros(0, np.float32)
        self._waiting = np.zeros(0, np.float32)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take samples, float32 of shape (n,); return what is ready at the new rate."""
        if self.up == self.down:
            return samples.astype(np.float32)
        self._waiting = np.concatenate([self._waiting, samples])
        ready = (len(self._waiting) - self._reach) // self.down * self.down
        return self._take(ready, self._waiting[: ready + self._reach]) if ready > 0 else np.zeros(0, np.float32)

    def finish(self) -> np.ndarray:
        """The recording is over: what was held back."""
        if self.up == self.down or not len(self._waiting):
            return np.zeros(0, np.float32)
        return self._take(len(self._waiting), self._waiting)

    def _take(self, count: int, with_following: np.ndarray) -> np.ndarray:
        before = len(self._before) * self.up // self.down
        whole = resample_poly(np.concatenate([self._before, with_following]), self.up, self.down)
        taken = whole[before : before + -(-count * self.up // self.down)]
        past = np.concatenate([self._before, self._waiting[:count]])
        self._before = past[max(0, len(past) - self._reach) // self.down * self.down :]
        self._waiting = self._waiting[count:]
        return taken.astype(np.float32)


def read_blocks(path: Path, sample_rate: int, seconds: float = BLOCK_SECONDS) -> Iterator[np.ndarray]:
    """A recording in blocks of about so many seconds: float32 of shape (n,), at `sample_rate`, channels averaged.

    Put together they are what `read_audio` gives.

    Raises:
        DatasetError: The file is no audio, truncated, empty, or a block holds NaN or infinite samples. What is wrong
            after the beginning is found when it is reached.
    """
    where = str(path)
    total = 0
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            check_rate(rate, where)
            resampler = BlockResampler(rate, sample_rate)
            while len(samples := file.read(max(1, round(seconds * rate)), dtype="float32", always_2d=True)):
                if not np.isfinite(samples).all():
                    raise DatasetError(
                        "the recording holds NaN or infinite samples",
                        where=f"{where}, {total / rate:.1f} to {(total + len(samples)) / rate:.1f} s",
                    )
                total += len(samples)
                yield resampler.push(samples.mean(axis=1))
    except UNREADABLE as error:
        raise DatasetError("the file cannot be read as audio", where=where, why=why_unreadable(path, error)) from error
    check_length(path, total, where)
    yield resampler.finish()
