"""A bundle as a folder of C++17: the model, the front end, the decision on a stream, and an example that uses them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from penjing import write_c_array
from penjing.errors import UsageError
from penjing_keyword_spotting import DOMAIN
from penjing_keyword_spotting.features import FrontEnd
from penjing_keyword_spotting.predict import decoding_of
from penjing_keyword_spotting.streaming import NOT_WORDS, look_step

SOURCES = ("front_end.h", "front_end.cc", "detector.h", "main.cc", "Makefile")


def write_project(bundle: Any, folder: Path) -> Sequence[Path]:
    """Write the model's files (see `penjing.write_c_array`), parameters.h with what this bundle's front end and
    operating point are, and the sources that they belong to.

    Args:
        bundle: A `LoadedBundle` of keyword spotting.
        folder: Where the files go.

    Raises:
        UsageError: The bundle is of another domain, or its network is not the int8 one that the example runs.
    """
    if bundle.manifest.domain != DOMAIN:
        raise UsageError(
            f"the bundle is of the domain '{bundle.manifest.domain}', not '{DOMAIN}'",
            hint="the exporter c-array writes any bundle's model",
        )
    types = {tensor.dtype for tensor in (*bundle.manifest.inputs, *bundle.manifest.outputs)}
    if types != {"int8"}:
        raise UsageError(
            f"the network takes or gives {', '.join(sorted(types - {'int8'}))}, and microcontrollers compute in int8",
            hint="end the recipe with quantize, mode int8",
        )
    paths = list(write_c_array(bundle, folder))
    texts = {"parameters.h": _parameters(bundle)}
    for name in SOURCES:
        texts[name] = resources.files("penjing_keyword_spotting").joinpath("cpp", name).read_text("utf-8")
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [*paths, *(folder / name for name in texts)]


def _parameters(bundle: Any) -> str:
    front_end, decoding = FrontEnd.from_json(bundle.preprocessing), decoding_of(bundle)
    sizes = {
        "kSampleRate": front_end.sample_rate,
        "kClipSamples": front_end.clip_samples,
        "kFrameSamples": front_end.frame_samples,
        "kHopSamples": front_end.hop_samples,
        "kFftSize": front_end.fft_size,
        "kBands": front_end.mel_bands,
        "kColumns": front_end.columns,
        "kFrames": front_end.frames,
        "kLookStep": look_step(front_end),
        "kLabels": len(bundle.labels),
        "kSmoothed": decoding.smoothed,
    }
    floats = {"kLogOffset": front_end.log_offset, "kMean": front_end.mean, "kScale": front_end.scale}
    doubles = {
        "kLowHz": front_end.low_hz,
        "kHighHz": front_end.high_hz,
        "kThreshold": decoding.threshold,
        "kRearmShare": decoding.rearm_share,
        "kRefractorySeconds": decoding.refractory_seconds,
    }
    flags = {"kIsMfcc": front_end.kind == "mfcc", "kPeakNormalised": front_end.peak_normalised}
    words = ", ".join("false" if label in NOT_WORDS else "true" for label in bundle.labels)
    lines = [
        "// What the network was trained with, and the operating point that was chosen on the validation part.",
        "#ifndef PENJING_KEYWORD_SPOTTING_PARAMETERS_H_",
        "#define PENJING_KEYWORD_SPOTTING_PARAMETERS_H_",
        "",
        "#include <cstddef>",
        "",
        "namespace keyword_spotting {",
        "",
        *(f"constexpr std::size_t {name} = {value};" for name, value in sizes.items()),
        *(f"constexpr float {name} = {float(value)!r}f;" for name, value in floats.items()),
        *(f"constexpr double {name} = {float(value)!r};" for name, value in doubles.items()),
        *(f"constexpr bool {name} = {str(value).lower()};" for name, value in flags.items()),
        f"constexpr bool kIsWord[kLabels] = {{{words}}};",
        "",
        "}  // namespace keyword_spotting",
        "",
        "#endif  // PENJING_KEYWORD_SPOTTING_PARAMETERS_H_",
        "",
    ]
    return "\n".join(lines)
