"""Load clips, split by speaker, and turn them into the model's inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import DataRequest, Split, Splits
from penjing.errors import DataError
from penjing_datasets.clips import Clips, read_clips
from penjing_datasets.errors import DatasetError
from penjing_datasets.speech_synthesis import SILENCE, UNKNOWN, generate_speech
from penjing_datasets.splits import PARTS, refuse_overlap, split_by_class, split_by_group
from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.options import with_defaults

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
}
"""Options of the `[data]` table. `high_hz = 0` means 95 % of half the sample rate; `words` picks some classes of a
collection and makes all others `_unknown_`; `voices` is the size of the built-in sample."""

SPEECH_COMMANDS_WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


def load_data(request: DataRequest) -> Splits:
    """Clips of a collection, or of the built-in sample where no path is given.

    Raises:
        DataError: The collection cannot be read, has one class only, or its split shares speakers.
    """
    options = with_defaults("data", request.options, DEFAULTS)
    front_end = _front_end(options)
    if request.path is None:
        return _sample(request, options, front_end)
    try:
        clips = read_clips(
            request.path,
            sample_rate=front_end.sample_rate,
            length=front_end.clip_samples,
            max_broken_share=options["max_broken_share"],
            progress=request.progress,
        )
        return _splits(clips, request, options, front_end)
    except DatasetError as error:
        raise DataError(error.what, where=error.where, why=error.why, hint=error.hint) from error


def _front_end(options: dict[str, Any]) -> FrontEnd:
    rate = options["sample_rate"]
    frame = round(options["frame_milliseconds"] * rate / 1000)
    if options["features"] not in ("log-mel", "mfcc"):
        raise DataError(f"unknown features '{options['features']}'", where="[data]", hint="log-mel or mfcc")
    return FrontEnd(
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


def _splits(clips: Clips, request: DataRequest, options: dict[str, Any], front_end: FrontEnd) -> Splits:
    assert request.path is not None
    notes = list(clips.notes)
    classes = clips.classes
    words = list(options["words"])
    if not words and len(set(classes)) > 20 and set(SPEECH_COMMANDS_WORDS) <= set(classes):
        # The whole of Speech Commands: the field's task has ten words, the rest are unknown.
        words = list(SPEECH_COMMANDS_WORDS)
        notes.append("the ten words of Speech Commands' 12-class task; all other words are _unknown_")
    if words:
        missing = [word for word in words if word not in set(classes)]
        if missing:
            raise DataError(
                f"the collection has no clips of {', '.join(missing)}",
                where=str(request.path),
                hint="its classes are " + ", ".join(sorted(set(classes))),
            )
        classes = np.where(np.isin(classes, [*words, SILENCE]), classes, UNKNOWN)
    waveforms, ids, speakers, parts = clips.waveforms, clips.ids, clips.speakers, clips.parts
    if parts is not None:
        if speakers is not None:
            refuse_overlap(parts, speakers, "speaker")
        notes.append(
            "the split is the collection's own" + ("" if speakers is None else ", checked to be speaker-disjoint")
        )
    elif speakers is not None:
        parts = split_by_group(speakers, seed=request.seed)
        notes.append("split by speaker")
    else:
        parts = split_by_class(classes, ids, seed=request.seed)
        notes.append(
            "speakers are not known (file names like ann_1.wav, or a manifest.csv, would tell): the same voice may "
            "be on both sides of the split, so the figures are too good for new speakers"
        )
    _check_classes(classes, parts, request.path, notes)
    return _assemble(
        waveforms=waveforms,
        classes=classes,
        groups=speakers,
        parts=parts,
        ids=ids,
        background=clips.background,
        front_end=front_end,
        source=request.path.name,
        sha256=clips.sha256,
        synthetic=False,
        notes=tuple(notes),
        slices={},
    )


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
