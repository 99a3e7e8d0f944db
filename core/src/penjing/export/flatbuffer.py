"""Write a .tflite file's object form as bytes, every vector once."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

DATA_ALIGNMENT = 16
"""Of weights in the file, by the format's schema: kernels read them in place, as int32 or int64 too."""


def pack(model: Any) -> bytes:
    """The file. Equal vectors (the zero points of two layers, say) are stored once and pointed to from each place,
    which any reader of the format follows."""
    builder = _SharingBuilder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _SharingBuilder(flatbuffers.Builder):
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802, the base class's name
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            alignment = DATA_ALIGNMENT if x.dtype == np.uint8 else x.dtype.alignment
            self.StartVector(x.itemsize, x.size, alignment)
            content = x.astype(x.dtype.newbyteorder("<")).tobytes()
            self.head -= len(content)
            self.Bytes[self.head : self.head + len(content)] = content
            self.vectorNumElems = x.size
            self._written[key] = self.EndVector()
        return self._written[key]
