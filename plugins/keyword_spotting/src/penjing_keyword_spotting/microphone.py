"""Samples from a microphone, through sounddevice (PortAudio), where it is installed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from penjing.errors import MissingExtraError, UsageError
from penjing_datasets.audio_blocks import BlockResampler

BLOCK_SECONDS = 0.1
"""Sound that is taken from the device at once: a look's step, so that words are told as soon as they can be."""

log = logging.getLogger(__name__)


def listen(sample_rate: int, device: str | None = None, seconds: float | None = None) -> Iterator[np.ndarray]:
    """Blocks of samples as they are heard, float32 of shape (n,) in [-1, 1], one channel.

    The device records at its own rate where it does not know the asked one; that is resampled here. Where the machine
    is too slow and sound is lost, it is logged once.

    Args:
        sample_rate: Hz of the blocks.
        device: A part of the device's name, or its number; None takes the system's.
        seconds: When to stop; None goes on until the caller does, or the user with Ctrl-C.

    Raises:
        MissingExtraError: sounddevice is not installed, or PortAudio is missing from the system.
        UsageError: There is no such microphone, or it cannot be opened.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtraError(
            "listening to a microphone needs sounddevice",
            why=str(error),
            hint="pip install 'penjing-keyword-spotting[microphone]'",
        ) from error
    except OSError as error:  # the package is there, the library that it calls is not
        raise MissingExtraError(
            "listening to a microphone needs the library PortAudio",
            why=str(error),
            hint="install it from your system's packages: libportaudio2",
        ) from error
    try:
        chosen = int(device) if device is not None and device.isdigit() else device
        rate = _rate(sounddevice, chosen, sample_rate)
        resampler = BlockResampler(rate, sample_rate)
        block = max(1, round(BLOCK_SECONDS * rate))
        left = None if seconds is None else round(seconds * rate)
        lost = False
        with sounddevice.InputStream(
            samplerate=rate, device=chosen, channels=1, dtype="float32", blocksize=block
        ) as stream:
            while left is None or left > 0:
                samples, overflowed = stream.read(block if left is None else min(block, left))
                if overflowed and not lost:
                    log.warning("the machine is too slow for this: sound was lost")
                    lost = True
                left = None if left is None else left - len(samples)
                yield resampler.push(samples[:, 0])
    except (sounddevice.PortAudioError, ValueError) as error:
        raise UsageError(
            "the microphone cannot be opened" if device is None else f"the microphone '{device}' cannot be opened",
            why=str(error),
            hint="python -m sounddevice lists the devices; choose one with --device NAME",
        ) from error


def _rate(sounddevice: Any, device: int | str | None, sample_rate: int) -> int:
    """The asked rate, or the device's own where it does not know it."""
    try:
        sounddevice.check_input_settings(device=device, channels=1, dtype="float32", samplerate=sample_rate)
    except sounddevice.PortAudioError:
        return round(sounddevice.query_devices(device, "input")["default_samplerate"])
    return sample_rate
