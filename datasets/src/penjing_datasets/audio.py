"""Read audio of any common kind as mono float32 at one sample rate."""

from __future__ import annotations

import io
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from penjing_datasets.errors import DatasetError

SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".aif")
MAX_SECONDS = 4 * 3600
"""A longer recording is refused rather than read into memory."""
SAMPLE_RATES = (1_000, 768_000)
"""Hz; a header that says anything outside is damaged, and resampling from there could fill the memory."""
UNREADABLE = (soundfile.SoundFileError, OSError, RuntimeError, TypeError)
"""What soundfile raises for what is no audio."""


def read_audio(source: Path | bytes, sample_rate: int, name: str | None = None) -> np.ndarray:
    """Audio as samples in [-1, 1], all of it in memory; see `penjing_datasets.audio_blocks` for long recordings.

    Args:
        source: A file, or the bytes of one: wav or flac of any bit depth, sample rate and number of channels.
        sample_rate: Hz of the result; other rates are resampled (polyphase, Kaiser window), channels averaged.
        name: What to call the source in errors; a path names itself.

    Returns:
        float32 of shape (samples,).

    Raises:
        DatasetError: The file is no audio, truncated, empty, too long, or holds NaN or infinite samples.
    """
    where = name or (str(source) if isinstance(source, Path) else "audio in memory")
    try:
        with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            rate, frames = file.samplerate, file.frames
            check_rate(rate, where)
            if frames > MAX_SECONDS * rate:
                raise DatasetError(f"the recording is longer than {MAX_SECONDS // 3600} hours", where=where)
            samples = file.read(dtype="float32", always_2d=True)
    except UNREADABLE as error:
        why = why_unreadable(source, error)
        raise DatasetError("the file cannot be read as audio", where=where, why=why) from error
    check_length(source, len(samples), where)
    if not np.isfinite(samples).all():
        raise DatasetError("the recording holds NaN or infinite samples", where=where)
    return resample(samples.mean(axis=1), rate, sample_rate)


def audio_rate(content: bytes) -> int | None:
    """The sample rate that a file's header says, Hz; None where it is no audio."""
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            return int(file.samplerate)
    except UNREADABLE:
        return None


def check_rate(rate: int, where: str) -> None:
    """Refuse a sample rate that nothing records at.

    Raises:
        DatasetError: It is outside `SAMPLE_RATES`.
    """
    if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
        raise DatasetError(f"the header says {rate:,} samples a second", where=where)


def check_length(source: Path | bytes, frames: int, where: str) -> None:
    """Refuse a recording that is empty, or shorter than its header says.

    Raises:
        DatasetError: Of `frames` that could be read there are none, or too few.
    """
    if frames == 0:
        raise DatasetError("the recording is empty", where=where)
    declared = _declared_frames(source)
    if declared is not None and frames < declared:
        raise DatasetError(
            "the recording is truncated",
            where=where,
            why=f"its header says {declared:,} frames, {frames:,} are there",
        )


def resample(samples: np.ndarray, rate: int, target_rate: int) -> np.ndarray:
    """Samples at another rate: float32 of shape (ceil(n * target_rate / rate),)."""
    if rate == target_rate:
        return samples.astype(np.float32)
    divisor = gcd(rate, target_rate)
    return resample_poly(samples, target_rate // divisor, rate // divisor).astype(np.float32)


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """A clip of exactly `length` samples: a shorter one is centred in silence; of a longer one the loudest stretch is
    kept (largest sum of squares), since that is where the word is."""
    if len(samples) == length:
        return samples.astype(np.float32)
    if len(samples) < length:
        before = (length - len(samples)) // 2
        return np.pad(samples, (before, length - len(samples) - before)).astype(np.float32)
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return samples[start : start + length].astype(np.float32)


def _declared_frames(source: Path | bytes) -> int | None:
    """Frames that a PCM wav's header promises. libsndfile reads what is there and says nothing of what is missing."""
    head = source[:4096] if isinstance(source, bytes) else _head(source)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    position, block = 12, 0
    while position + 8 <= len(head):
        kind, size = (
            head[position : position + 4],
            int.from_bytes(head[position + 4 : position + 8], "little"),
        )
        if kind == b"fmt ":
            block = int.from_bytes(head[position + 20 : position + 22], "little")
        if kind == b"data":
            # Streams written without a known length carry the largest number here.
            return size // block if block and size < 0xFFFFFF00 else None
        position += 8 + size + size % 2
    return None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def why_unreadable(source: Path | bytes, error: Exception) -> str:
    """One line on why a file is no audio."""
    size = len(source) if isinstance(source, bytes) else (source.stat().st_size if source.is_file() else None)
    if size is None:
        return "it is a folder" if isinstance(source, Path) and source.is_dir() else "there is no such file"
    # libsndfile's own words; the whole message names a memory address and would differ from run to run.
    return "it has no bytes" if size == 0 else str(getattr(error, "error_string", error))
