"""Recordings that `predict` can be tried on: generated, so that nobody's voice is shipped."""

from __future__ import annotations

from pathlib import Path

import soundfile

from penjing_datasets.speech_synthesis import generate_speech

CLIPS = 3
RATE = 16_000


def write_examples(folder: Path, seed: int) -> list[str]:
    """A few one-second clips as wav files, and their paths."""
    sample = generate_speech(voices=1, seed=seed)
    paths = []
    for index in range(CLIPS):
        path = folder / f"{index + 1}-{sample.classes[index]}.wav"
        soundfile.write(path, sample.waveforms[index], RATE)
        paths.append(str(path))
    return paths
