"""A bundle as C source: the model in a constant array, for microcontrollers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penjing.bundle.atomic import write_bytes_atomically
from penjing.measure.file_graph import FileGraph
from penjing.measure.tflm import Arena, measure_arena, tflm_is_installed

BYTES_A_LINE = 12
_SPELLED = {
    "BATCH_MATMUL": "BatchMatMul",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
"""Operators that the rule for names does not fit."""


def write_c_array(bundle: Any, folder: Path) -> Sequence[Path]:
    """Write a bundle as C++ source: model.h and model.cc with the array, its length, the labels and what the inputs
    and outputs are; model_ops.h with the operators that TensorFlow Lite Micro has to know, and the arena it needs.

    The arena is measured where tflite-micro is installed; where it is not, a program that asks for it does not compile
    and is told so.

    Args:
        bundle: A `LoadedBundle`.
        folder: Where the files go.

    Raises:
        ModelError: The bundle's file is damaged.
    """
    name = c_name(bundle.manifest.domain)
    # On one line whatever the manifest says: the next line would be code.
    title = "// " + " ".join(f"{bundle.manifest.domain}, recipe '{bundle.manifest.name}'. Written by penjing.".split())
    texts = {
        "model.h": _header(name, title, bundle),
        "model.cc": _source(name, bundle),
        "model_ops.h": _operators(name, title, bundle.model_bytes),
    }
    for file, text in texts.items():
        write_bytes_atomically(folder / file, text.encode())
    return [folder / file for file in texts]


def c_name(domain: str) -> str:
    """A domain's name as an identifier of C: what the array and its companions begin with."""
    name = re.sub(r"[^a-z0-9]", "_", domain.lower())
    return name if name[:1].isalpha() else f"penjing_{name}"  # an identifier cannot begin with a digit


def _header(name: str, title: str, bundle: Any) -> str:
    guard = f"PENJING_{name.upper()}_MODEL_H_"
    lines = [
        title,
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        f"extern const unsigned char {name}_model[];",
        f"extern const unsigned int {name}_model_len;",
        f"extern const char* const {name}_labels[];",
        f"extern const unsigned int {name}_label_count;",
    ]
    for side, tensors in (("input", bundle.manifest.inputs), ("output", bundle.manifest.outputs)):
        for number, tensor in enumerate(tensors):
            prefix = f"{name}_{side}" + (f"_{number}" if len(tensors) > 1 else "")
            shape = " x ".join(map(str, tensor.shape))
            lines += [
                "",
                "// " + " ".join(f"{side}: {tensor.dtype}, {shape}: {tensor.meaning}".split()),
                f"constexpr unsigned int {prefix}_size = {math.prod(tensor.shape)};",
            ]
            if tensor.scale:
                lines += [
                    "// real = (integer - zero point) * scale",
                    f"constexpr float {prefix}_scale = {_float(tensor.scale)};",
                    f"constexpr int {prefix}_zero_point = {tensor.zero_point};",
                ]
    return "\n".join([*lines, "", f"#endif  // {guard}", ""])


def _source(name: str, bundle: Any) -> str:
    content, labels = bundle.model_bytes, bundle.labels
    rows = [
        "  " + " ".join(f"0x{byte:02x}," for byte in content[start : start + BYTES_A_LINE])
        for start in range(0, len(content), BYTES_A_LINE)
    ]
    quoted = ", ".join(f'"{_escaped(label)}"' for label in labels) or '""'
    return "\n".join(
        [
            '#include "model.h"',
            "",
            "// The interpreter reads the model in place, which needs it aligned.",
            f"alignas(16) const unsigned char {name}_model[] = {{",
            *rows,
            "};",
            f"const unsigned int {name}_model_len = {len(content)};",
            f"const char* const {name}_labels[] = {{{quoted}}};",
            f"const unsigned int {name}_label_count = {len(labels)};",
            "",
        ]
    )


def _operators(name: str, title: str, content: bytes) -> str:
    operators = list(FileGraph.from_bytes(content).operator_counts())
    upper = name.upper()
    guard = f"PENJING_{upper}_MODEL_OPS_H_"
    arena = (
        measure_arena(content)
        if tflm_is_installed()
        else Arena(arena_bytes=None, note="tflite-micro was not installed where this was written")
    )
    if arena.arena_bytes is None:
        note = " ".join(arena.note.split())
        measured = [
            f"#ifndef {upper}_ARENA_BYTES",
            f'#error "the arena was not measured ({_escaped(note)}): define {upper}_ARENA_BYTES"',
            "#endif",
        ]
    else:
        measured = [
            "// The least that runs, measured with TensorFlow Lite Micro on a 64-bit machine; others need less.",
            f"#ifndef {upper}_ARENA_BYTES",
            f"#define {upper}_ARENA_BYTES {arena.arena_bytes}",
            "#endif",
        ]
    calls = [f"  if (resolver.Add{_kernel(operator)}() != 0) return 1;" for operator in operators]
    return "\n".join(
        [
            title,
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            *measured,
            "",
            f"#define {upper}_OP_COUNT {len(operators)}",
            "",
            f"// Tells a tflite::MicroMutableOpResolver<{upper}_OP_COUNT> the operators of the model; 0 is success.",
            "template <typename Resolver>",
            f"int {name}_register_ops(Resolver& resolver) {{",
            *calls,
            "  return 0;",
            "}",
            "",
            f"#endif  // {guard}",
            "",
        ]
    )


def _kernel(operator: str) -> str:
    """An operator as MicroMutableOpResolver spells it: CONV_2D is AddConv2D."""
    if operator in _SPELLED:
        return _SPELLED[operator]
    return "".join(part if part[:1].isdigit() else part.capitalize() for part in operator.split("_"))


def _float(value: float) -> str:
    """A float32 as C reads it back, bit for bit."""
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _escaped(label: str) -> str:
    """As C reads it. Question marks too: before C++17 '??/' is another way to write a backslash."""
    escapes = {"\\": "\\\\", '"': '\\"', "?": "\\?", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "".join(escapes.get(letter, letter) for letter in label)
