"""A bundle as C source: the model in a constant array, for microcontrollers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penjing.bundle.atomic import write_bytes_atomically

BYTES_A_LINE = 12


def write_c_array(bundle: Any, folder: Path) -> Sequence[Path]:
    """Write model.h and model.cc with the array, its length and the labels.

    Args:
        bundle: A `LoadedBundle`.
        folder: Where the two files go.
    """
    name = re.sub(r"[^a-z0-9]", "_", bundle.manifest.domain.lower())
    if not name[:1].isalpha():  # an identifier of C cannot begin with a digit
        name = f"penjing_{name}"
    guard = f"PENJING_{name.upper()}_MODEL_H_"
    labels = bundle.labels
    header = "\n".join(
        [
            # On one line whatever the manifest says: the next line would be code.
            "// " + " ".join(f"{bundle.manifest.domain}, recipe '{bundle.manifest.name}'. Written by penjing.".split()),
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            f"extern const unsigned char {name}_model[];",
            f"extern const unsigned int {name}_model_len;",
            f"extern const char* const {name}_labels[];",
            f"extern const unsigned int {name}_label_count;",
            "",
            f"#endif  // {guard}",
            "",
        ]
    )
    content = bundle.model_bytes
    rows = [
        "  " + " ".join(f"0x{byte:02x}," for byte in content[start : start + BYTES_A_LINE])
        for start in range(0, len(content), BYTES_A_LINE)
    ]
    quoted = ", ".join(f'"{_escaped(label)}"' for label in labels) or '""'
    source = "\n".join(
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
    paths = [folder / "model.h", folder / "model.cc"]
    for path, text in zip(paths, (header, source), strict=True):
        write_bytes_atomically(path, text.encode())
    return paths


def _escaped(label: str) -> str:
    """As C reads it. Question marks too: before C++17 '??/' is another way to write a backslash."""
    escapes = {"\\": "\\\\", '"': '\\"', "?": "\\?", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "".join(escapes.get(letter, letter) for letter in label)
