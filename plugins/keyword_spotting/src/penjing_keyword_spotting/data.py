"""Load clips, split by speaker, and turn them into the model's inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import DataRequest, Split, Splits
from penjing.errors import DataError
from penjing.options import with_defaults
from penjing_datasets.clips import clip_classes, clip_rates, read_clips
from penjing_datasets.errors import DatasetError
from penjing_datasets.speech_synthesis import SILENCE, UNKNOWN, generate_speech
from penjing_datasets.splits import PARTS, split_by_group
from penjing_keyword_spotting import DOMAIN
from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.parts import cannot_tell, check_classes, divide
from penjing_keyword_spotting.refit import join_training
from penjing_keyword_spotting.sampling import Sampling, choose_sampling
from penjing_keyword_spotting.stream_metrics import StreamSettings
from penjing_keyword_spotting.task import as_task, cut_silence, divide_background, task_clips, task_words

DEFAULTS: dict[str, Any] = {
    "features": "log-mel",
    "sample_rate": 0,
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
    "stream_hours": 0.0,
    "false_accepts_per_hour": 1.0,
    "clips_in_report": 12,
    "refit_share": 0.0,
}
"""Options of the `[data]` table. `sample_rate = 0` takes 16,000 Hz, or 8,000 where the recordings have no more;
`high_hz = 0` means 95 % of half the rate that every recording has; `words` picks some classes of a collection and
makes the others `_unknown_`, of which it takes `unknown_ratio` times as many clips as of one word (0 for all);
`voices` is the size of the built-in sample; `stream_hours` is the length of the recordings on which false accepts are
counted, 0 for 4 hours, or a quarter of one for the built-in sample; the threshold keeps to `false_accepts_per_hour` on
the validation part; `clips_in_report` recordings, which are of people's voices, can be heard in the report, 0 for
none. `refit_share = 0.9` moves so many of the speakers of validation and test into training: for a last training, when
everything has been chosen and measured without it."""
RANGES = {
    "sample_rate": (0, 192_000),
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
    "stream_hours": (0, 100),
    "false_accepts_per_hour": (0, 1_000),
    "clips_in_report": (0, 100),
    "refit_share": (0, 1),
}
LOWEST_RATE = 4_000
STREAM_HOURS, SAMPLE_STREAM_HOURS = 4.0, 0.25
MOST_FFT_GROWTH = 2
"""The transform is padded to so many times the least length, where bands would be narrower than its steps."""


def load_data(request: DataRequest) -> Splits:
    """Clips of a collection, or of the built-in sample where no path is given.

    All clips are held in memory, at 64 kB a second of sound; the whole of Speech Commands needs about 9 GB.

    Raises:
        DataError: The collection cannot be read, has one class only, or its split shares speakers.
        RecipeError: An option is unknown or out of range.
    """
    options = with_defaults(DOMAIN, "data", request.options, DEFAULTS, RANGES)
    if 0 < options["sample_rate"] < LOWEST_RATE:
        raise DataError(
            f"sample_rate cannot be {options['sample_rate']}", where="[data]", hint=f"0, or from {LOWEST_RATE}"
        )
    if request.path is None:
        return _sample(request, options, _front_end(options, Sampling(rate=options["sample_rate"] or 16_000)))
    try:
        return _splits(request, request.path, options)
    except DatasetError as error:
        raise DataError(error.what, where=error.where, why=error.why, hint=error.hint) from error


def _front_end(options: dict[str, Any], sampling: Sampling) -> FrontEnd:
    rate = sampling.rate
    frame = round(options["frame_milliseconds"] * rate / 1000)
    if options["features"] not in ("log-mel", "mfcc"):
        raise DataError(f"unknown features '{options['features']}'", where="[data]", hint="log-mel or mfcc")
    smallest = 1 << (frame - 1).bit_length()
    candidates = [
        FrontEnd(
            kind=options["features"],
            sample_rate=rate,
            clip_samples=round(options["clip_seconds"] * rate),
            frame_samples=frame,
            hop_samples=round(options["hop_milliseconds"] * rate / 1000),
            fft_size=smallest * growth,
            mel_bands=options["mel_bands"],
            low_hz=options["low_hz"],
            high_hz=options["high_hz"] or 0.475 * sampling.lowest,
            coefficients=options["coefficients"],
        )
        for growth in (1, MOST_FFT_GROWTH)
    ]
    front_end = next((found for found in candidates if not found.problem), None)
    if front_end is None:
        raise DataError("the front end cannot be computed", where="[data]", why=candidates[-1].problem)
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
        background=divide_background(sample.background, front_end.clip_samples),
        front_end=front_end,
        options=options,
        source=f"built-in sample, {options['voices']} synthetic voices",
        sha256=sample.sha256,
        synthetic=True,
        notes=("Words of synthetic voices in noise, made by a formant synthesiser; not recorded speech.",),
        slices={"signal-to-noise": noisy},
    )


def _splits(request: DataRequest, path: Path, options: dict[str, Any]) -> Splits:
    known = clip_classes(path)
    words = task_words(known, options["words"], str(path))
    only = task_clips(known, words, options["unknown_ratio"], request.seed) if words else None
    notes: list[str] = []
    if options["sample_rate"]:
        sampling = Sampling(rate=options["sample_rate"])
    else:
        rates = clip_rates(path)
        used = {name: rate for name, rate in rates.items() if only is None or name in only}
        sampling = choose_sampling(used, known, notes)
    front_end = _front_end(options, sampling)
    clips = read_clips(
        path,
        sample_rate=front_end.sample_rate,
        length=front_end.clip_samples,
        max_broken_share=options["max_broken_share"],
        only=only,
        progress=request.progress,
    )
    notes = [*clips.notes, *notes]
    classes = as_task(clips.classes, words) if words else clips.classes
    if words:
        notes.append(
            f"the task has the words {', '.join(words)}; {np.sum(classes == UNKNOWN):,} of "
            f"{sum(label not in (*words, SILENCE) for label in known.values()):,} clips of other words are _unknown_"
        )
    parts, groups, keep = divide(clips, classes, request.seed, notes)
    if options["refit_share"]:
        speakers = np.asarray(clips.ids) if groups is None else groups
        parts = join_training(parts, speakers, options["refit_share"], request.seed)
        notes.append(
            f"{options['refit_share']:.0%} of the speakers of validation and test were moved into training: the "
            "figures of this run hold for the few that are left"
        )
    background = divide_background(clips.background, front_end.clip_samples)
    waveforms, ids, sha256 = clips.waveforms, list(clips.ids), clips.sha256
    del clips  # its waveforms need not stay while copies are made
    if not keep.all():
        waveforms, classes, parts = waveforms[keep], classes[keep], parts[keep]
        groups = None if groups is None else groups[keep]
        ids = [name for name, kept in zip(ids, keep, strict=True) if kept]
    if SILENCE not in classes:
        spoken = sorted(set(classes) - {UNKNOWN})
        counts = {part: round(float(np.sum(parts[classes != UNKNOWN] == part)) / max(1, len(spoken))) for part in PARTS}
        silence = cut_silence(background, length=front_end.clip_samples, counts=counts, seed=request.seed)
        if silence is not None:
            waveforms = np.concatenate([waveforms, silence.waveforms])
            classes = np.concatenate([classes, np.full(len(silence.ids), SILENCE)])
            parts = np.concatenate([parts, silence.parts])
            ids += silence.ids
            if groups is not None:
                groups = np.concatenate([groups, np.array([f"unnamed:{name}" for name in silence.ids])])
            notes.append(
                f"{len(silence.ids):,} clips of _silence_ were cut from {len(background['test'])} background "
                "recordings, each part from its own stretch of time; augmentation has the training part's stretches"
            )
    notes += cannot_tell(classes, bool(background["train"]))
    check_classes(classes, parts, path, notes)
    return _assemble(
        waveforms=waveforms,
        classes=classes,
        groups=groups,
        parts=parts,
        ids=ids,
        background=background,
        front_end=front_end,
        options=options,
        source=path.resolve().name,
        sha256=sha256,
        synthetic=False,
        notes=tuple(notes),
        slices={},
    )


def _assemble(
    *,
    waveforms: np.ndarray,
    classes: np.ndarray,
    groups: np.ndarray | None,
    parts: np.ndarray,
    ids: list[str],
    background: dict[str, list[np.ndarray]],
    front_end: FrontEnd,
    options: dict[str, Any],
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
        extra={
            "background": background["train"],
            "front_end": front_end,
            "stream": StreamSettings(
                hours=options["stream_hours"] or (SAMPLE_STREAM_HOURS if synthetic else STREAM_HOURS),
                most_false_accepts_per_hour=options["false_accepts_per_hour"],
                background=background,
            ),
            "clips_in_report": options["clips_in_report"],
        },
    )


def _loudness(waveforms: np.ndarray) -> np.ndarray:
    level = 20 * np.log10(np.sqrt(np.mean(np.square(waveforms), axis=1)) + 1e-9)
    return np.where(level < -35, "below -35 dB", np.where(level < -25, "-35 to -25 dB", "above -25 dB"))
