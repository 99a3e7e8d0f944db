"""Words in recordings, by a bundle, on the device: numpy, scipy and soundfile, no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penjing.contract import PredictRequest
from penjing.errors import DataError, UsageError
from penjing_datasets.audio import fit_length, read_audio
from penjing_datasets.errors import DatasetError
from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.streaming import detect, posteriors

DEFAULT_THRESHOLD = 0.8


def predict(request: PredictRequest) -> Iterator[dict[str, Any]]:
    """Rows for each input file: its likeliest words, or with `--stream` each word with its time.

    Raises:
        DataError: A file cannot be read as audio.
        UsageError: No file is given, or an option is out of range.
    """
    if not request.inputs:
        raise UsageError("there is nothing to recognise", hint="name one or more wav or flac files")
    top = request.options.get("top")
    if top is not None and top < 1:
        raise UsageError(f"--top cannot be {top}", hint="it is how many words to name, 1 or more")
    front_end = FrontEnd.from_json(request.bundle.preprocessing)
    for name in request.inputs:
        try:
            samples = read_audio(Path(name), front_end.sample_rate)
        except DatasetError as error:
            raise DataError(error.what, where=error.where, why=error.why, hint=error.hint) from error
        if request.options.get("stream"):
            yield from _on_stream(name, samples, front_end, request)
        else:
            yield from _in_clip(name, samples, front_end, request)


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


def _on_stream(name: str, samples: Any, front_end: FrontEnd, request: PredictRequest) -> Iterator[dict[str, Any]]:
    threshold = request.options.get("threshold")
    if threshold is None:
        threshold = _measured_threshold(request.bundle)
    if not 0 < threshold < 1:
        raise UsageError(f"--threshold cannot be {threshold}", hint="it is a probability, 0 to 1")
    smoothed, times = posteriors(samples, front_end, request.bundle.predict)
    for found in detect(smoothed, times, request.bundle.labels, threshold):
        yield {
            "file": name,
            "seconds": found.seconds,
            "word": found.word,
            "probability": found.probability,
        }


def _measured_threshold(bundle: Any) -> float:
    """The threshold that was chosen on the validation stream when the bundle was made."""
    entry = bundle.manifest.metrics.get("stream[threshold]")
    return DEFAULT_THRESHOLD if entry is None else float(entry.estimate)
