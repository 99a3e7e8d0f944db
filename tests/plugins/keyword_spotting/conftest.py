"""Real recordings that several tests rearrange."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from penjing_datasets.audio import read_audio

ARCHIVE = "keyword_spotting/speech_commands/speech_commands_v0.02_12class.tar.xz"


@pytest.fixture(scope="session")
def real_words(penjing_data: Path) -> dict[str, dict[str, np.ndarray]]:
    """Clips of Speech Commands, float32 at 16 kHz, by file name and word: 40 of each of four words."""
    if not (penjing_data / ARCHIVE).is_file():
        pytest.skip(f"no {ARCHIVE} in {penjing_data}")
    words: dict[str, dict[str, np.ndarray]] = {word: {} for word in ("yes", "no", "stop", "go")}
    with tarfile.open(penjing_data / ARCHIVE) as archive:
        for member in archive:
            word, _, name = member.name.rpartition("/")
            found = words.get(word.rpartition("/")[2])
            if found is not None and len(found) < 40 and (file := archive.extractfile(member)):
                found[name] = read_audio(file.read(), 16_000, name)
            if all(len(clips) == 40 for clips in words.values()):
                break
    return words
