"""Run bundles and .tflite files with LiteRT and numpy alone."""

from __future__ import annotations

from penjing.runtime.bundle import LoadedBundle, load_bundle
from penjing.runtime.interpreter import LiteRTModel, TensorInfo

__all__ = ["LiteRTModel", "LoadedBundle", "TensorInfo", "load_bundle"]
