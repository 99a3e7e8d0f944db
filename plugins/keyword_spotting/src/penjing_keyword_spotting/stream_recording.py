"""A continuous recording of known words, of any number of hours: it is planned from a seed and rendered piece by piece.

Scenes of half a minute follow each other, each with its own background: a quiet room, or one of the noise recordings
at one of several levels. In some of them people talk, in words that are not to be found; the words to be found stand in
scenes that are not loud. Sounds are added to the background, as they are in a room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import resample_poly

from penjing.contract import Split
from penjing_keyword_spotting.streaming import NOT_WORDS

SCENE_SECONDS = 30.0
QUIET_DB = (-65.0, -55.0)
"""Level of a quiet room, root mean square against full scale."""
NOISE_DB = (-45.0, -38.0, -30.0, -22.0)
"""Levels of the noise recordings."""
QUIET_SHARE = 0.3
"""Share of the scenes that are quiet rooms."""
TALK_SHARE = 0.3
"""Share of the scenes in which people talk."""
LOUDEST_WITH_WORDS_DB = -38.0
"""Words to be found stand in no louder noise: how many are lost in noise is measured at exact ratios elsewhere."""
GAIN_DB = 6.0
"""Clips are up to this much softer or louder than they were recorded."""
TALK_GAP_SECONDS = (-0.25, 0.2)
"""Between two words of talk; clips have silent margins, so that a little overlap makes speech without pauses."""
SPEEDS = (17, 18, 19, 20, 21, 22, 23)
"""Talk is played at these twentieths of its speed, 0.85 to 1.15: a collection has few clips of other words, and the
same one again and again would make of one error a hundred."""
WORD_GAP_SECONDS = 1.5
"""Least time between a word to be found and whatever else is said."""
FADE_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A stretch of background."""

    start: int
    length: int
    recording: int
    """Which recording; -1 for white noise."""
    offset: int
    gain: float


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A clip that is added to the background."""

    start: int
    length: int
    row: int
    """Of the part."""
    gain: float
    speed: int = 20
    """In twentieths."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A plan, and what is needed to render it."""

    sample_rate: int
    samples: int
    clips: np.ndarray
    """float32 of shape (n, clip samples): the part's."""
    background: Sequence[np.ndarray]
    scenes: tuple[Scene, ...]
    sounds: tuple[Sound, ...]
    """By start."""
    words: tuple[tuple[float, str], ...]
    """(start in seconds, word) of each word to be found."""
    others: int
    """Words that are not to be found."""
    distinct_others: int
    """Clips that they were taken from."""
    noise_seconds: float
    """Time with noise recordings and nobody talking."""

    @property
    def hours(self) -> float:
        return self.samples / self.sample_rate / 3600

    def blocks(self) -> Iterator[np.ndarray]:
        """The samples scene by scene, float32, clipped to [-1, 1]."""
        fade = max(1, round(FADE_SECONDS * self.sample_rate))
        first, longest = 0, max((sound.length for sound in self.sounds), default=0)
        for scene in self.scenes:
            stop = scene.start + scene.length
            block = self._bed(scene, fade)
            while first < len(self.sounds) and self.sounds[first].start + longest <= scene.start:
                first += 1
            for sound in self.sounds[first:]:
                if sound.start >= stop:
                    break
                begin, end = max(sound.start, scene.start), min(sound.start + sound.length, stop)
                if begin < end:
                    clip = _faded(_at_speed(self.clips[sound.row], sound.speed) * np.float32(sound.gain), fade)
                    block[begin - scene.start : end - scene.start] += clip[begin - sound.start : end - sound.start]
            yield np.clip(block, -1, 1)

    def _bed(self, scene: Scene, fade: int) -> np.ndarray:
        if scene.recording < 0:
            noise = np.random.default_rng([scene.offset, scene.start]).standard_normal(scene.length, np.float32)
        else:
            source = self.background[scene.recording]
            noise = source[(scene.offset + np.arange(scene.length)) % len(source)]
        return _faded(noise * np.float32(scene.gain), fade)


def plan_recording(
    split: Split,
    labels: Sequence[str],
    *,
    background: Sequence[np.ndarray],
    sample_rate: int,
    hours: float,
    seed: int,
    most_words: int | None = None,
) -> Recording:
    """Plan a recording from a part's own clips.

    Every word clip of the part stands in it once, in random order, as long as there is room; clips of `_unknown_` come
    again and again in shuffled rounds, at other gains, beside other words and in other noise.

    Args:
        split: Clips in `raw`, float32 of shape (n, clip samples); classes in `y`.
        background: Noise recordings of the part, float32 of any length.
        hours: Length.
        seed: Equal seeds give equal recordings.
        most_words: Words to be found, at most.
    """
    generator = np.random.default_rng([seed, 23])
    kinds = np.array([labels[number] for number in split.y]) if len(split) else np.zeros(0, str)
    rows = generator.permutation(np.flatnonzero(~np.isin(kinds, NOT_WORDS)))[:most_words]
    unknown = np.flatnonzero(kinds == NOT_WORDS[1])
    levels = [_level(recording) for recording in background]
    usable = [index for index, level in enumerate(levels) if len(background[index]) and level > 0]
    length = round(SCENE_SECONDS * sample_rate)
    count = max(1, round(hours * 3600 / SCENE_SECONDS))
    scenes, loudness, talks = _scenes(generator, count, length, background, levels, usable, len(unknown) > 0)
    clip = split.raw.shape[1]
    talk: list[Sound] = []
    for index in np.flatnonzero(talks):
        talk += _talk(generator, unknown, len(talk), index * length, length, clip, sample_rate)
    places = _places(generator, np.flatnonzero(~talks & (loudness <= LOUDEST_WITH_WORDS_DB)), length, clip, sample_rate)
    placed = sorted(zip(places, rows, strict=False))
    words = [Sound(start=start, length=clip, row=int(row), gain=_gain(generator)) for start, row in placed]
    return Recording(
        sample_rate=sample_rate,
        samples=count * length,
        clips=split.raw,
        background=background,
        scenes=tuple(scenes),
        sounds=tuple(sorted(talk + words, key=lambda sound: sound.start)),
        words=tuple((start / sample_rate, str(kinds[row])) for start, row in placed),
        others=len(talk),
        distinct_others=len({sound.row for sound in talk}),
        noise_seconds=float(np.sum((loudness > QUIET_DB[1]) & ~talks) * SCENE_SECONDS),
    )


def _scenes(
    generator: np.random.Generator,
    count: int,
    length: int,
    background: Sequence[np.ndarray],
    levels: Sequence[float],
    usable: Sequence[int],
    speech: bool,
) -> tuple[list[Scene], np.ndarray, np.ndarray]:
    """Scenes, their levels in dB, and in which of them people talk."""
    scenes, loudness, talks = [], np.empty(count), np.zeros(count, bool)
    for index in range(count):
        quiet = not usable or generator.random() < QUIET_SHARE
        loudness[index] = generator.uniform(*QUIET_DB) if quiet else generator.choice(NOISE_DB)
        talks[index] = speech and generator.random() < TALK_SHARE
        recording = usable[int(generator.integers(len(usable)))] if usable else -1
        level = levels[recording] if usable else 1.0
        offset = int(generator.integers(len(background[recording]) if usable else 1 << 30))
        gain = 10 ** (loudness[index] / 20) / level
        scenes.append(Scene(start=index * length, length=length, recording=recording, offset=offset, gain=gain))
    return scenes, loudness, talks


def _talk(
    generator: np.random.Generator, rows: np.ndarray, said: int, start: int, length: int, clip: int, rate: int
) -> list[Sound]:
    """The words of talk in one scene: clips in shuffled rounds, of which `said` words have been said."""
    sounds: list[Sound] = []
    position = start + round(generator.uniform(0, 1) * rate)
    while True:
        place = (said + len(sounds)) % len(rows)
        if place == 0:
            generator.shuffle(rows)
        speed = int(generator.choice(SPEEDS))
        spoken = -(-clip * 20 // speed)
        if position + spoken > start + length:
            return sounds
        sounds.append(Sound(start=position, length=spoken, row=int(rows[place]), gain=_gain(generator), speed=speed))
        position += spoken + round(generator.uniform(*TALK_GAP_SECONDS) * rate)


def _places(generator: np.random.Generator, scenes: np.ndarray, length: int, clip: int, rate: int) -> list[int]:
    """Starts for words to be found, in random order: as many in a scene as keep their distance."""
    room = clip + 2 * round(WORD_GAP_SECONDS * rate)
    each = length // room
    starts = []
    for scene in scenes:
        for slot in range(each):
            first = int(scene) * length + slot * (length // each) + (room - clip) // 2
            starts.append(first + int(generator.integers(length // each - room + 1)))
    return [starts[index] for index in generator.permutation(len(starts))]


def _at_speed(samples: np.ndarray, speed: int) -> np.ndarray:
    return samples if speed == 20 else resample_poly(samples, 20, speed)


def _gain(generator: np.random.Generator) -> float:
    return float(10 ** (generator.uniform(-GAIN_DB, GAIN_DB) / 20))


def _level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def _faded(samples: np.ndarray, fade: int) -> np.ndarray:
    result = samples.astype(np.float32, copy=True)
    fade = min(fade, len(result) // 2)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    result[:fade] *= ramp
    result[len(result) - fade :] *= ramp[::-1]
    return result
