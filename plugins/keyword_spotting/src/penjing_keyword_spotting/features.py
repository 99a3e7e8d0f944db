"""The front end: from samples to log-mel or MFCC features, in numpy, the very code that the device runs.

Frames are Hann windows (periodic); a mel filter is a triangle on the HTK scale, mel = 2595 log10(1 + f / 700)
(O'Shaughnessy 1987), of unit height; MFCC is the type-II cosine transform of the log-mel values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

BATCH = 256
"""Clips that are transformed at once; bounds the memory."""


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """Parameters of the front end; JSON values, so that a bundle carries them."""

    kind: str = "log-mel"
    """"log-mel" or "mfcc"."""
    sample_rate: int = 16_000
    clip_samples: int = 16_000
    frame_samples: int = 480
    hop_samples: int = 320
    fft_size: int = 512
    mel_bands: int = 40
    low_hz: float = 20.0
    high_hz: float = 7600.0
    log_offset: float = 1e-6
    coefficients: int = 10
    """Cosine coefficients that are kept (mfcc)."""
    peak_normalised: bool = False
    """Divide a clip by its largest sample first, as MLPerf Tiny does; not possible on a stream."""
    mean: float = 0.0
    scale: float = 1.0
    """Features are (value - mean) / scale; set from the training part."""

    @classmethod
    def from_json(cls, parameters: Mapping[str, Any]) -> FrontEnd:
        """The inverse of `to_json`; unknown keys are left out, since later versions may add some."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in parameters.items() if key in known})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def problem(self) -> str | None:
        """Why features cannot be computed with these parameters, in one sentence; None when they can."""
        if not 0 < self.hop_samples <= self.frame_samples <= min(self.clip_samples, self.fft_size):
            return "windows must not be longer than the clip, nor further apart than they are long"
        if not 0 <= self.low_hz < self.high_hz <= self.sample_rate / 2:
            return (
                f"the bands must lie between 0 and half the sample rate, {self.sample_rate / 2:g} Hz, "
                f"not from {self.low_hz:g} to {self.high_hz:g} Hz"
            )
        if self.kind == "mfcc" and self.coefficients > self.mel_bands:
            return f"{self.mel_bands} bands cannot give {self.coefficients} coefficients"
        empty = np.flatnonzero(self.mel_weights.sum(axis=0) == 0)
        if len(empty):
            return (
                f"{len(empty)} of {self.mel_bands} mel bands are narrower than the spectrum's resolution: "
                "take fewer bands or longer windows"
            )
        return None

    @property
    def frames(self) -> int:
        """Frames of a clip: whole windows only."""
        return 1 + (self.clip_samples - self.frame_samples) // self.hop_samples

    @property
    def columns(self) -> int:
        """Values of a frame."""
        return self.coefficients if self.kind == "mfcc" else self.mel_bands

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one clip's features: (frames, columns, 1)."""
        return (self.frames, self.columns, 1)

    @property
    def meaning(self) -> str:
        """What the features are, in words."""
        values = f"{self.coefficients} MFCC" if self.kind == "mfcc" else f"{self.mel_bands} log-mel bands"
        return (
            f"{self.frames} frames x {values} of one second at {self.sample_rate} Hz "
            f"({1000 * self.frame_samples / self.sample_rate:g} ms windows every "
            f"{1000 * self.hop_samples / self.sample_rate:g} ms)"
        )

    @cached_property
    def window(self) -> np.ndarray:
        """Periodic Hann window, float32 of shape (frame_samples,)."""
        n = np.arange(self.frame_samples)
        return (0.5 - 0.5 * np.cos(2 * np.pi * n / self.frame_samples)).astype(np.float32)

    @cached_property
    def mel_weights(self) -> np.ndarray:
        """Triangular filters, float32 of shape (fft_size / 2 + 1, mel_bands)."""
        bins = _mel(np.arange(self.fft_size // 2 + 1) * self.sample_rate / self.fft_size)
        edges = np.linspace(_mel(self.low_hz), _mel(self.high_hz), self.mel_bands + 2)
        lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
        rising = (bins[:, None] - lower) / (centre - lower)
        falling = (upper - bins[:, None]) / (upper - centre)
        weights = np.maximum(0.0, np.minimum(rising, falling))
        weights[0] = 0.0  # the constant part of a frame is no sound
        return weights.astype(np.float32)

    @cached_property
    def cosines(self) -> np.ndarray:
        """Type-II cosine transform scaled by 1 / sqrt(2 bands), float32 of shape (mel_bands, coefficients)."""
        n = np.arange(self.mel_bands) + 0.5
        k = np.arange(self.coefficients)
        transform = 2.0 * np.cos(np.pi * n[:, None] * k / self.mel_bands)
        return (transform / np.sqrt(2.0 * self.mel_bands)).astype(np.float32)

    def of_frames(self, frames: np.ndarray) -> np.ndarray:
        """Features of windows of samples.

        Args:
            frames: float32 of shape (..., frame_samples).

        Returns:
            float32 of shape (..., columns).
        """
        spectrum = np.abs(np.fft.rfft(frames * self.window, self.fft_size)).astype(np.float32)
        values = np.log(spectrum @ self.mel_weights + np.float32(self.log_offset))
        if self.kind == "mfcc":
            values = values @ self.cosines
        return ((values - np.float32(self.mean)) / np.float32(self.scale)).astype(np.float32)

    def of_clips(self, waveforms: np.ndarray) -> np.ndarray:
        """Features of whole clips.

        Args:
            waveforms: float32 of shape (n, clip_samples), in [-1, 1].

        Returns:
            float32 of shape (n, frames, columns, 1).
        """
        result = np.empty((len(waveforms), *self.shape), np.float32)
        for start in range(0, len(waveforms), BATCH):
            clips = np.asarray(waveforms[start : start + BATCH], np.float32)
            if self.peak_normalised:
                peak = clips.max(axis=1, keepdims=True)
                clips = clips / np.where(peak > 0, peak, 1)
            windows = np.lib.stride_tricks.sliding_window_view(clips, self.frame_samples, axis=1)
            result[start : start + BATCH, :, :, 0] = self.of_frames(windows[:, :: self.hop_samples])
        return result

    def normalised_to(self, waveforms: np.ndarray) -> FrontEnd:
        """The same front end with mean and scale of these clips, so that features are about in [-3, 3]."""
        plain = replace(self, mean=0.0, scale=1.0)
        values = plain.of_clips(waveforms[:: max(1, len(waveforms) // 1000)])
        return replace(self, mean=round(float(values.mean()), 4), scale=round(float(values.std()) + 1e-6, 4))


MLPERF_TINY = FrontEnd(kind="mfcc", high_hz=4000.0, peak_normalised=True)
"""The front end of MLPerf Tiny's keyword spotting reference."""


class StreamingFrontEnd:
    """The front end on a stream: samples come in pieces of any size, frames go out as soon as they are complete, equal
    to those of the whole recording."""

    def __init__(self, front_end: FrontEnd) -> None:
        self.front_end = front_end
        self._samples = np.zeros(0, np.float32)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take samples, return the new frames: float32 of shape (n, columns)."""
        front_end = self.front_end
        self._samples = np.concatenate([self._samples, np.asarray(samples, np.float32)])
        count = 1 + (len(self._samples) - front_end.frame_samples) // front_end.hop_samples
        if count <= 0:
            return np.zeros((0, front_end.columns), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._samples, front_end.frame_samples)
        frames = front_end.of_frames(windows[:: front_end.hop_samples][:count])
        self._samples = self._samples[count * front_end.hop_samples :]
        return frames


def preprocess(raw: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
    """Waveforms of shape (n, clip_samples) as the model's inputs, by a bundle's parameters."""
    return FrontEnd.from_json(parameters).of_clips(raw)


def _mel(hertz: Any) -> Any:
    return 2595.0 * np.log10(1.0 + np.asarray(hertz, np.float64) / 700.0)
