"""The built-in sample of keyword spotting: words spoken by synthetic voices in noise.

A source-filter synthesiser (Fant 1960, "Acoustic theory of speech production"): a pulse train or noise passes an
envelope of formant resonances that glides between the targets of a word's sounds. Voices differ in pitch, vocal tract
length, speaking rate, breathiness and tilt. It is learnable and not trivial; it is no recorded speech.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000
CLIP_SAMPLES = SAMPLE_RATE
_HOP, _WINDOW = 80, 320

KEYWORDS = ("yes", "no", "up", "down", "left", "right")
SILENCE, UNKNOWN = "_silence_", "_unknown_"


@dataclass(frozen=True)
class _Sound:
    """Targets of one sound: formants in Hz, loudness of voice and of noise, centre of the noise, length in ms."""

    formants: tuple[float, float, float]
    voice: float
    noise: float
    noise_hz: float
    milliseconds: float


_SOUNDS = {
    "a": _Sound((730, 1200, 2500), 1.0, 0.0, 2000, 130),
    "e": _Sound((540, 1850, 2550), 1.0, 0.0, 2000, 110),
    "i": _Sound((290, 2250, 3000), 0.9, 0.0, 2000, 100),
    "o": _Sound((480, 880, 2450), 1.0, 0.0, 2000, 140),
    "u": _Sound((320, 900, 2300), 0.9, 0.0, 2000, 110),
    "@": _Sound((620, 1250, 2450), 0.9, 0.0, 2000, 100),
    "w": _Sound((300, 650, 2250), 0.6, 0.0, 2000, 60),
    "j": _Sound((270, 2200, 2950), 0.6, 0.0, 2000, 60),
    "l": _Sound((370, 1100, 2700), 0.6, 0.0, 2000, 70),
    "r": _Sound((380, 1150, 1650), 0.6, 0.0, 2000, 70),
    "n": _Sound((270, 1500, 2500), 0.45, 0.0, 2000, 80),
    "m": _Sound((270, 1000, 2200), 0.45, 0.0, 2000, 80),
    "s": _Sound((400, 1700, 2600), 0.0, 0.5, 5600, 120),
    "S": _Sound((400, 1700, 2600), 0.0, 0.5, 3200, 120),
    "f": _Sound((400, 1300, 2300), 0.0, 0.22, 4200, 90),
    "z": _Sound((300, 1700, 2600), 0.35, 0.3, 5400, 90),
    "_": _Sound((400, 1500, 2500), 0.0, 0.0, 2000, 45),
    "T": _Sound((400, 1800, 2700), 0.0, 0.6, 4300, 22),
    "K": _Sound((350, 1900, 2400), 0.0, 0.5, 2100, 28),
    "P": _Sound((350, 900, 2300), 0.0, 0.4, 900, 18),
    "D": _Sound((300, 1700, 2600), 0.35, 0.25, 3800, 20),
    "G": _Sound((280, 1900, 2400), 0.35, 0.25, 2000, 24),
    "B": _Sound((260, 850, 2250), 0.4, 0.15, 800, 18),
}

_WORDS = {
    "yes": "jes",
    "no": "nou",
    "up": "@_P",
    "down": "Daun",
    "left": "lef_T",
    "right": "rai_T",
}
_OTHER_WORDS = (
    "s_To_P",
    "Gou",
    "on",
    "of",
    "Be_D",
    "Ka_T",
    "si_Ks",
    "_Tri",
    "mao",
    "Sila",
    "faiz",
    "wo_K",
    "neu",
    "ra_D",
)


@dataclass(frozen=True)
class SpeechSample:
    """The generated collection."""

    waveforms: np.ndarray
    """float32 of shape (n, 16000), in [-1, 1]."""
    classes: np.ndarray
    """Keyword, `_unknown_` or `_silence_`; str of shape (n,)."""
    voices: np.ndarray
    """str of shape (n,)."""
    snr_db: np.ndarray
    """Signal-to-noise ratio, float32 of shape (n,); NaN for silence."""
    ids: list[str]
    background: list[np.ndarray]
    """Four noise recordings of 20 s."""
    sha256: str


def generate_speech(
    *, voices: int = 48, seed: int = 0, progress: Callable[[str, int, int], None] | None = None
) -> SpeechSample:
    """Let every voice say every keyword three times, four other words, and be silent twice.

    Args:
        voices: How many; each gives 24 clips of one second at 16 kHz.
        seed: The same seed gives the same samples.
        progress: Called with (what, done, total).
    """
    generator = np.random.default_rng([seed, 7])
    background = [_noise(kind, 20 * SAMPLE_RATE, generator) for kind in range(4)]
    waveforms, classes, names, ratios, ids = [], [], [], [], []
    for number in range(voices):
        own = np.random.default_rng([seed, number, 11])
        voice = _Voice.draw(own)
        spoken = [(word, _WORDS[word]) for word in KEYWORDS for _ in range(3)]
        spoken += [(UNKNOWN, str(own.choice(_OTHER_WORDS))) for _ in range(4)]
        spoken += [(SILENCE, "")] * 2
        for take, (label, sounds) in enumerate(spoken):
            speech = _place(voice.say(sounds, own), own) if sounds else np.zeros(CLIP_SAMPLES, np.float32)
            snr = float(own.uniform(0, 22)) if sounds else float("nan")
            waveforms.append(_in_noise(speech, snr, background, own))
            classes.append(label)
            names.append(f"voice-{number:03d}")
            ratios.append(snr)
            ids.append(f"{label}/voice-{number:03d}_{take}")
        if progress:
            progress("synthesising voices", number + 1, voices)
    stacked = np.stack(waveforms)
    return SpeechSample(
        waveforms=stacked,
        classes=np.array(classes),
        voices=np.array(names),
        snr_db=np.array(ratios, np.float32),
        ids=ids,
        background=background,
        sha256=hashlib.sha256(stacked.tobytes()).hexdigest(),
    )


@dataclass(frozen=True)
class _Voice:
    pitch_hz: float
    tract: float
    rate: float
    breath: float
    tilt: float
    accent: np.ndarray
    """Factors of the three formants, the voice's own way of speaking."""

    @classmethod
    def draw(cls, generator: np.random.Generator) -> _Voice:
        high = generator.random() < 0.5
        return cls(
            pitch_hz=float(generator.uniform(165, 280) if high else generator.uniform(80, 150)),
            tract=float(generator.uniform(1.02, 1.25) if high else generator.uniform(0.85, 1.05)),
            rate=float(generator.uniform(0.75, 1.45)),
            breath=float(generator.uniform(0.01, 0.15)),
            tilt=float(generator.uniform(0.6, 1.4)),
            accent=generator.normal(1.0, 0.07, 3),
        )

    def say(self, sounds: str, generator: np.random.Generator) -> np.ndarray:
        """A word, float32 of any length under a second."""
        targets = [_SOUNDS[sound] for sound in sounds]
        lengths = np.array([t.milliseconds for t in targets]) / self.rate
        lengths *= generator.uniform(0.75, 1.3, len(lengths))
        frames = np.maximum(2, np.round(lengths * SAMPLE_RATE / 1000 / _HOP)).astype(int)
        frames = np.concatenate([[4], frames, [6]])
        edge = _Sound(targets[0].formants, 0.0, 0.0, targets[0].noise_hz, 0)
        end = _Sound(targets[-1].formants, 0.0, 0.0, targets[-1].noise_hz, 0)
        track = np.repeat(
            np.array([[*t.formants, t.voice, t.noise, t.noise_hz] for t in (edge, *targets, end)]),
            frames,
            axis=0,
        )
        track[:, :3] *= self.tract * self.accent * generator.normal(1.0, 0.03, 3)
        smooth = np.hanning(9)[1:-1]
        smooth /= smooth.sum()
        for column in range(6):
            # Formants glide; loudness does so faster.
            kernel = smooth if column < 3 or column == 5 else smooth[2:-2] / smooth[2:-2].sum()
            pad = len(kernel) // 2
            track[:, column] = np.convolve(np.pad(track[:, column], pad, mode="edge"), kernel, "valid")
        return self._filter(track, generator)

    def _filter(self, track: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        count = len(track)
        samples = (count - 1) * _HOP + _WINDOW
        contour = np.linspace(1.1, 0.85, samples) * (1 + 0.02 * np.sin(np.arange(samples) / 500))
        pitch = self.pitch_hz * contour * generator.normal(1.0, 0.06)
        phase = np.cumsum(pitch / SAMPLE_RATE) + generator.random()
        pulses = np.diff(np.floor(phase), prepend=np.floor(phase[0])) * np.sqrt(SAMPLE_RATE / pitch)
        hiss = generator.normal(size=samples)
        window = np.hanning(_WINDOW)
        index = np.arange(count)[:, None] * _HOP + np.arange(_WINDOW)
        frequencies = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)
        envelope = np.zeros((count, len(frequencies)))
        for number, (gain, width) in enumerate(((1.0, 70.0), (0.6, 100.0), (0.35, 160.0))):
            centre = track[:, number : number + 1]
            envelope += gain / np.sqrt(1 + np.square((frequencies - centre) / (width / 2)))
        envelope /= (1 + frequencies / 600) ** self.tilt
        noise_shape = np.exp(-np.square((frequencies - track[:, 5:6]) / 1100))
        voiced = np.fft.rfft(pulses[index] * window) + self.breath * np.fft.rfft(hiss[index] * window)
        spectrum = track[:, 3:4] * 4.0 * envelope * voiced
        spectrum += track[:, 4:5] * 0.35 * noise_shape * np.fft.rfft(hiss[index] * window)
        frames = np.fft.irfft(spectrum, _WINDOW)
        speech = np.zeros(samples)
        np.add.at(speech, index, frames)
        return (speech / (np.abs(speech).max() + 1e-9)).astype(np.float32)


def _place(speech: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The word somewhere in its second, as a trimmed recording would have it."""
    speech = speech[:CLIP_SAMPLES]
    room = CLIP_SAMPLES - len(speech)
    start = int(np.clip(generator.normal(room / 2, room / 8), 0, room))
    clip = np.zeros(CLIP_SAMPLES, np.float32)
    clip[start : start + len(speech)] = speech
    return clip


def _in_noise(
    speech: np.ndarray, snr_db: float, background: list[np.ndarray], generator: np.random.Generator
) -> np.ndarray:
    recording = background[int(generator.integers(len(background)))]
    start = int(generator.integers(len(recording) - CLIP_SAMPLES))
    noise = recording[start : start + CLIP_SAMPLES]
    level = 10 ** generator.uniform(-1.6, -0.3)
    if np.isnan(snr_db):
        return (noise * level * 0.3).astype(np.float32)
    active = speech[np.abs(speech) > 0.02]
    power = float(np.mean(np.square(active))) if len(active) else 1e-4
    factor = np.sqrt(power / 10 ** (snr_db / 10) / (np.mean(np.square(noise)) + 1e-12))
    mixed = speech + factor * noise
    return (mixed * level / (np.abs(mixed).max() + 1e-9)).astype(np.float32)


def _noise(kind: int, samples: int, generator: np.random.Generator) -> np.ndarray:
    """White, pink, hum with harmonics, or babble-like noise that comes and goes; peak 1."""
    white = generator.normal(size=samples)
    frequencies = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    if kind == 0:
        noise = white
    elif kind == 1:
        noise = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.maximum(frequencies, 20)), samples)
    elif kind == 2:
        time = np.arange(samples) / SAMPLE_RATE
        noise = sum(np.sin(2 * np.pi * 100 * k * time + k) / k for k in range(1, 12)) + 0.3 * white
    else:
        speechlike = np.exp(-np.square((frequencies - 700) / 900))
        slow = np.fft.irfft(np.fft.rfft(generator.normal(size=samples)) * (frequencies < 4), samples)
        noise = np.fft.irfft(np.fft.rfft(white) * speechlike, samples) * (1 + np.abs(slow) / slow.std())
    return (noise / np.abs(noise).max()).astype(np.float32)
