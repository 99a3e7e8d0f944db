"""Sizes of files in settings: a number of bytes, or text such as "32KB"."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_UNITS = {"b": 1, "kb": 1000, "kib": 1024, "mb": 1000**2, "mib": 1024**2}


def _as_bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(b|kb|kib|mb|mib)?\s*", value.lower())
    if match is None:
        raise ValueError("a size is a number with B, KB, KiB, MB or MiB")
    return round(float(match[1]) * _UNITS[match[2] or "b"])


FileBytes = Annotated[int, BeforeValidator(_as_bytes)]
"""Bytes of a file; text with a unit is read as well."""
