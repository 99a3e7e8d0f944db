"""What the plugin contributes. Imports nothing heavy: code is named here, and imported when it is needed."""

from __future__ import annotations

from collections.abc import Iterable

from penjing import hookimpl
from penjing.contract import Exporter


@hookimpl
def penjing_exporters() -> Iterable[Exporter]:
    yield Exporter(
        name="onnx",
        summary="ONNX, float32, by Keras' own export, checked in onnxruntime.",
        export="penjing_onnx.export:write",
    )
