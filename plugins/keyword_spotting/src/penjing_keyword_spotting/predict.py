"""Words in recordings, by a bundle, on the device: numpy, scipy and soundfile, no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import PredictRequest
from penjing.errors import DataError, UsageError
from penjing_datasets.audio import fit_length, read_audio
from penjing_datasets.audio_blocks import read_blocks
from penjing_datasets.errors import DatasetError
from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.streaming import Decoding, Spotter


def predict(request: PredictRequest) -> Iterator[dict[str, Any]]:
    """Rows for each input file: its likeliest words, or with `--stream` each word with its time; or, with
    `--microphone`, each word as it is said. A long recording is read and recognised block by block. Of several files
    one that is no audio has a row that says so.

    Raises:
        DataError: No file can be read as audio.
        MissingExtraError: The microphone is asked for and sounddevice is not installed.
        UsageError: No file is given, or an option is out of range or does not go with another.
    """
    _check(request)
    front_end = FrontEnd.from_json(request.bundle.preprocessing)
    if request.options.get("microphone"):
        from penjing_keyword_spotting.microphone import listen

        samples = listen(front_end.sample_rate, request.options.get("device"), request.options.get("seconds"))
        for row in _heard(samples, front_end, request):
            yield {key: value for key, value in row.items() if key != "file"}
        return
    broken: list[DatasetError] = []
    for name in request.inputs:
        try:
            if request.options.get("stream"):
                yield from _heard(read_blocks(Path(name), front_end.sample_rate), front_end, request, name)
            else:
                yield from _in_clip(name, read_audio(Path(name), front_end.sample_rate), front_end, request)
        except DatasetError as error:
            broken.append(error)
            if len(request.inputs) > 1:
                yield {"file": name, "problem": error.what + (f": {error.why}" if error.why else "")}
    if len(broken) == len(request.inputs):
        first = broken[0]
        raise DataError(first.what, where=first.where, why=first.why, hint=first.hint) from first


def _check(request: PredictRequest) -> None:
    options = request.options
    if options.get("microphone"):
        if request.inputs:
            raise UsageError("--microphone and files do not go together", hint="give one of the two")
    elif not request.inputs:
        raise UsageError("there is nothing to recognise", hint="name one or more wav or flac files, or --microphone")
    for flag in ("device", "seconds"):
        if options.get(flag) is not None and not options.get("microphone"):
            raise UsageError(f"--{flag} is for --microphone")
    top, threshold, seconds = options.get("top"), options.get("threshold"), options.get("seconds")
    if top is not None and top < 1:
        raise UsageError(f"--top cannot be {top}", hint="it is how many words to name, 1 or more")
    if threshold is not None and not 0 < threshold < 1:
        raise UsageError(f"--threshold cannot be {threshold}", hint="it is a probability, 0 to 1")
    if seconds is not None and not seconds > 0:
        raise UsageError(f"--seconds cannot be {seconds}", hint="it is how long to listen; leave it out to go on")


def _in_clip(name: str, samples: Any, front_end: FrontEnd, request: PredictRequest) -> Iterator[dict[str, Any]]:
    clip = fit_length(samples, front_end.clip_samples)
    probabilities = request.bundle.predict(front_end.of_clips(clip[None]))[0]
    top = request.options.get("top") or 3
    for rank, index in enumerate(probabilities.argsort()[::-1][:top], start=1):
        yield {
            "file": name,
            "rank": rank,
            "word": request.bundle.labels[index],
            "probability": round(float(probabilities[index]), 4),
        }


def _heard(
    blocks: Iterable[np.ndarray], front_end: FrontEnd, request: PredictRequest, name: str = ""
) -> Iterator[dict[str, Any]]:
    decoding = decoding_of(request.bundle, request.options.get("threshold"))
    spotter = Spotter(front_end, request.bundle.predict, request.bundle.labels, decoding)

    def rows(found: Iterable[Any]) -> Iterator[dict[str, Any]]:
        for word in found:
            yield {"file": name, "seconds": word.seconds, "word": word.word, "probability": word.probability}

    for block in blocks:
        yield from rows(spotter.push(block))
    yield from rows(spotter.finish())


def decoding_of(bundle: Any, threshold: float | None = None) -> Decoding:
    """Smoothing and threshold that were chosen on the validation stream when the bundle was made, or the given
    threshold in its place."""
    usual = Decoding()

    def measured(name: str, otherwise: float) -> float:
        entry = bundle.manifest.metrics.get(f"stream[{name}]")
        return otherwise if entry is None else float(entry.estimate)

    return Decoding(
        threshold=measured("threshold", usual.threshold) if threshold is None else threshold,
        smoothed=max(1, round(measured("smoothed_looks", usual.smoothed))),
    )
