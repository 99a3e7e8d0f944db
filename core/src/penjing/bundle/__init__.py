"""The artefact: a folder with model.tflite, bundle.json and what else a device needs."""

from __future__ import annotations

from penjing.bundle.manifest import Lineage, Manifest
from penjing.bundle.storage import read_bundle, write_bundle

__all__ = ["Lineage", "Manifest", "read_bundle", "write_bundle"]
