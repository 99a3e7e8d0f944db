"""Load clips, split by speaker, and turn them into the model's inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import DataRequest, Split, Splits
from penjing.errors import DataError
from penjing.options import with_defaults
from penjing_datasets.clips import BACKGROUND, Clips, clip_classes, read_clips
from penjing_datasets.errors import DatasetError
from penjing_datasets.speech_synthesis import SILENCE, UNKNOWN, generate_speech
from penjing_datasets.splits import PARTS, refuse_overlap, split_by_class, split_by_group
from penjing_keyword_spotting import DOMAIN
from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.refit import join_training
from penjing_keyword_spotting.task import as_task, cut_silence, task_clips, task_words

DEFAULTS: dict[str, Any] = {
    "features": "log-mel",
    "sample_rate": 16_000,
    "clip_seconds": 1.0,
    "frame_milliseconds": 30.0,
    "hop_milliseconds": 20.0,
    "mel_bands": 40,
    "low_hz": 20.0,
    "high_hz": 0.0,
    "coefficients": 10,
    "voices": 40,
    "max_broken_share": 0.05,
    "words": [],
    "unknown_ratio": 1.0,
    "refit_share": 0.0,
}
"""Options of the `[data]` table. `high_hz = 0` means 95 % of half the sample rate; `words` picks some classes of a
collection and makes the others `_unknown_`, of which it takes `unknown_ratio` times as many clips as of one word (0 for
all); `voices` is the size of the built-in sample. `refit_share = 0.9` moves so many of the speakers of validation and
test into training: for a last training, when everything has been chosen and measured without it."""
RANGES = {
    "sample_rate": (4_000, 192_000),
    "clip_seconds": (0.1, 10),
    "frame_milliseconds": (2, 500),
    "hop_milliseconds": (1, 500),
    "mel_bands": (4, 256),
    "low_hz": (0, 96_000),
    "high_hz": (0, 96_000),
    "coefficients": (1, 256),
    "voices": (3, 2_000),
    "max_broken_share": (0, 1),
    "unknown_ratio": (0, 1_000),
    "refit_share": (0, 1),
}

FEWEST_SPEAKERS = len(PARTS)


def load_data(request: DataRequest) -> Splits:
    """Clips of a collection, or of the built-in sample where no path is given.

    All clips are held in memory, at 64 kB a second of sound; the whole of Speech Commands needs about 9 GB.

    Raises:
        DataError: The collection cannot be read, has one class only, or its split shares speakers.
        RecipeError: An option is unknown or out of range.
    """
    options = with_defaults(DOMAIN, "data", request.options, DEFAULTS, RANGES)
    front_end = _front_end(options)
    if request.path is None:
        return _sample(request, options, front_end)
    try:
        return _splits(request, request.path, options, front_end)
    except DatasetError as error:
        raise DataError(error.what, where=error.where, why=error.why, hint=error.hint) from error


def _front_end(options: dict[str, Any]) -> FrontEnd:
    rate = options["sample_rate"]
    frame = round(options["frame_milliseconds"] * rate / 1000)
    if options["features"] not in ("log-mel", "mfcc"):
        raise DataError(f"unknown features '{options['features']}'", where="[data]", hint="log-mel or mfcc")
    front_end = FrontEnd(
        kind=options["features"],
        sample_rate=rate,
        clip_samples=round(options["clip_seconds"] * rate),
        frame_samples=frame,
        hop_samples=round(options["hop_milliseconds"] * rate / 1000),
        fft_size=1 << (frame - 1).bit_length(),
        mel_bands=options["mel_bands"],
        low_hz=options["low_hz"],
        high_hz=options["high_hz"] or 0.475 * rate,
        coefficients=options["coefficients"],
    )
    problem = front_end.problem
    if problem:
        raise DataError("the front end cannot be computed", where="[data]", why=problem)
    return front_end


def _sample(request: DataRequest, options: dict[str, Any], front_end: FrontEnd) -> Splits:
    if (front_end.sample_rate, front_end.clip_samples) != (16_000, 16_000):
        raise DataError(
            "the built-in sample has clips of one second at 16,000 Hz",
            where="[data]",
            hint="leave sample_rate and clip_seconds out, or give --data",
        )
    sample = generate_speech(voices=options["voices"], seed=request.seed, progress=request.progress)
    parts = split_by_group(
        sample.voices,
        seed=request.seed,
        shares={"train": 0.7, "validation": 0.15, "test": 0.15},
    )
    noisy = np.where(np.isnan(sample.snr_db), "none", np.where(sample.snr_db < 10, "below 10 dB", "10 dB and above"))
    return _assemble(
        waveforms=sample.waveforms,
        classes=sample.classes,
        groups=sample.voices,
        parts=parts,
        ids=sample.ids,
        background=sample.background,
        front_end=front_end,
        source=f"built-in sample, {options['voices']} synthetic voices",
        sha256=sample.sha256,
        synthetic=True,
        notes=("Words of synthetic voices in noise, made by a formant synthesiser; not recorded speech.",),
        slices={"signal-to-noise": noisy},
    )


def _splits(request: DataRequest, path: Path, options: dict[str, Any], front_end: FrontEnd) -> Splits:
    known = clip_classes(path)
    words = task_words(known, options["words"], str(path))
    clips = read_clips(
        path,
        sample_rate=front_end.sample_rate,
        length=front_end.clip_samples,
        max_broken_share=options["max_broken_share"],
        only=task_clips(known, words, options["unknown_ratio"], request.seed) if words else None,
        progress=request.progress,
    )
    notes = list(clips.notes)
    classes = as_task(clips.classes, words) if words else clips.classes
    if words:
        notes.append(
            f"the task has the words {', '.join(words)}; {np.sum(classes == UNKNOWN):,} of "
            f"{sum(label not in (*words, SILENCE) for label in known.values()):,} clips of other words are _unknown_"
        )
    parts, groups = _parts(clips, classes, request.seed, notes)
    if options["refit_share"]:
        parts = join_training(
            parts, np.asarray(clips.ids) if groups is None else groups, options["refit_share"], request.seed
        )
        notes.append(
            f"{options['refit_share']:.0%} of the speakers of validation and test were moved into training: the "
            "figures of this run hold for the few that are left"
        )
    waveforms, ids, background, sha256 = clips.waveforms, list(clips.ids), clips.background, clips.sha256
    del clips  # its waveforms need not stay while copies are made
    if words and SILENCE not in classes:
        spoken = {part: round(float(np.sum(parts[classes != UNKNOWN] == part)) / len(words)) for part in PARTS}
        silence = cut_silence(background, length=front_end.clip_samples, counts=spoken, seed=request.seed)
        if silence is not None:
            background = silence.training_background
            waveforms = np.concatenate([waveforms, silence.waveforms])
            classes = np.concatenate([classes, np.full(len(silence.ids), SILENCE)])
            parts = np.concatenate([parts, silence.parts])
            ids += silence.ids
            if groups is not None:
                groups = np.concatenate([groups, np.array([f"unnamed:{name}" for name in silence.ids])])
            notes.append(
                f"{len(silence.ids):,} clips of _silence_ were cut from {len(background)} background recordings, "
                "each part from its own stretch of time; augmentation has the training part's stretches"
            )
        else:
            notes.append(f"there is no class _silence_: no recording in {BACKGROUND} is ten clips long or more")
    if SILENCE not in classes and UNKNOWN not in classes:
        notes.append(
            "there is no class _silence_ or _unknown_: the model names a word for every sound, which costs false "
            "accepts on a stream (add such folders, or choose some of the words with the option words)"
        )
    _check_classes(classes, parts, path, notes)
    return _assemble(
        waveforms=waveforms,
        classes=classes,
        groups=groups,
        parts=parts,
        ids=ids,
        background=background,
        front_end=front_end,
        source=path.resolve().name,
        sha256=sha256,
        synthetic=False,
        notes=tuple(notes),
        slices={},
    )


def _parts(clips: Clips, classes: np.ndarray, seed: int, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """(part, speaker) of each clip; no speakers where they are not known or too few to be kept apart."""
    parts, speakers = clips.parts, clips.speakers
    if parts is not None:
        if speakers is not None:
            refuse_overlap(parts, speakers, "speaker")
        notes.append(
            "the split is the collection's own" + ("" if speakers is None else ", checked to be speaker-disjoint")
        )
    elif speakers is not None and len(set(speakers)) >= FEWEST_SPEAKERS:
        parts = split_by_group(speakers, seed=seed)
        notes.append("split by speaker")
    elif speakers is not None:
        parts, speakers = split_by_class(classes, clips.ids, seed=seed), None
        notes.append(
            "there are fewer than three speakers: they stand on both sides of the split, and the figures hold for "
            "these voices only"
        )
    else:
        parts = split_by_class(classes, clips.ids, seed=seed)
        notes.append(
            "speakers are not known (file names like ann_1.wav, or a manifest.csv, would tell): the same voice may "
            "be on both sides of the split, so the figures are too good for new speakers"
        )
    seen: dict[str, set[str]] = {}
    for content, part in zip(clips.content_sha256, parts, strict=True):
        seen.setdefault(content, set()).add(str(part))
    copies = sum(len(where) > 1 for where in seen.values())
    if copies:
        notes.append(f"{copies:,} recordings occur byte for byte in two parts of the split")
    return parts, speakers


def _check_classes(classes: np.ndarray, parts: np.ndarray, path: Path, notes: list[str]) -> None:
    names, counts = np.unique(classes, return_counts=True)
    if len(names) < 2:
        raise DataError(
            f"the collection has one class only, '{names[0]}'",
            where=str(path),
            hint="add clips of other words, or of silence",
        )
    for part in PARTS:
        missing = sorted(set(names) - set(classes[parts == part]))
        if missing and part == "train":
            raise DataError(
                f"the training part has no clips of {', '.join(missing)}",
                where=str(path),
                hint="collect more speakers for these words, or try another --seed",
            )
        if missing:
            notes.append(f"the {part} part has no clips of {', '.join(missing)}")
    few = [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < 100]
    if few:
        notes.append(
            "few clips of " + ", ".join(few) + ": the figures of these words are uncertain, see their intervals"
        )


def _assemble(
    *,
    waveforms: np.ndarray,
    classes: np.ndarray,
    groups: np.ndarray | None,
    parts: np.ndarray,
    ids: list[str],
    background: list[np.ndarray],
    front_end: FrontEnd,
    source: str,
    sha256: str,
    synthetic: bool,
    notes: tuple[str, ...],
    slices: dict[str, np.ndarray],
) -> Splits:
    # Silence and unknown come last, as in MLPerf Tiny.
    labels = sorted({str(name) for name in classes}, key=lambda name: (name == UNKNOWN, name == SILENCE, name))
    numbers = np.array([labels.index(str(name)) for name in classes], np.int64)
    front_end = front_end.normalised_to(waveforms[parts == "train"])
    features = front_end.of_clips(waveforms)
    columns = {"word": classes, "loudness": _loudness(waveforms), **slices}

    def part(name: str) -> Split:
        rows = np.flatnonzero(parts == name)
        return Split(
            x=features[rows],
            y=numbers[rows],
            ids=[ids[row] for row in rows],
            groups=None if groups is None else groups[rows],
            slices={column: values[rows] for column, values in columns.items()},
            raw=waveforms[rows],
        )

    return Splits(
        train=part("train"),
        validation=part("validation"),
        test=part("test"),
        source=source,
        sha256=sha256,
        synthetic=synthetic,
        labels=tuple(labels),
        preprocessing=front_end.to_json(),
        input_meaning=front_end.meaning,
        output_meaning="probability of each word",
        notes=notes,
        extra={"background": background, "front_end": front_end},
    )


def _loudness(waveforms: np.ndarray) -> np.ndarray:
    level = 20 * np.log10(np.sqrt(np.mean(np.square(waveforms), axis=1)) + 1e-9)
    return np.where(level < -35, "below -35 dB", np.where(level < -25, "-35 to -25 dB", "above -25 dB"))
