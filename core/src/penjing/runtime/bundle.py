"""A bundle, loaded and ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from penjing.bundle.manifest import MODEL_FILE, IntervalEntry, Manifest, TensorEntry
from penjing.bundle.storage import read_bundle
from penjing.html_table import html_table
from penjing.runtime.interpreter import LiteRTModel

SHOWN_METRICS = 4
"""How many a notebook shows: the primary one and those that follow it."""


class LoadedBundle:
    """What `load_bundle` returns. Needs ai-edge-litert and numpy, not TensorFlow."""

    def __init__(self, folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.files = dict(files)

    @property
    def run_folder(self) -> Path | None:
        """The run that made the bundle, where the bundle still lies in it: its `reference.keras` and the models after
        each step, `steps/NN-technique/model.keras`. None for a bundle that was copied elsewhere."""
        run = self.folder.resolve().parent
        return run if (run / "run.json").is_file() and (run / "reference.keras").is_file() else None

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the outputs."""
        return tuple(self.manifest.labels)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Parameters for the domain's `preprocess`."""
        return dict(self.manifest.preprocessing)

    @property
    def model_bytes(self) -> bytes:
        """The .tflite file."""
        return self.files[MODEL_FILE]

    @cached_property
    def model(self) -> LiteRTModel:
        """The file in an interpreter with one thread."""
        return LiteRTModel(self.model_bytes)

    def predict(self, x: Any) -> Any:
        """Outputs in real units for preprocessed inputs of shape (n, *input_shape)."""
        return self.model.predict(x)

    def _repr_html_(self) -> str:
        about, lineage = self.manifest, self.manifest.lineage
        broken = [line.limit for line in about.budget if not line.holds]
        shown = [f"{name} {_with_interval(entry)}" for name, entry in about.metrics.items()][:SHOWN_METRICS]
        more = len(about.metrics) - len(shown)
        rows = [
            ("domain", about.domain),
            ("recipe", about.name),
            ("flash", f"{len(self.model_bytes):,} B"),
            *(("input", _tensor(entry)) for entry in about.inputs),
            *(("output", _tensor(entry)) for entry in about.outputs),
            ("labels", ", ".join(self.labels) or "none"),
            (
                "on the test part",
                "; ".join(shown) + (f"; {more} more in bundle.json" if more else "") or "not measured",
            ),
            ("budget", f"outside: {', '.join(broken)}" if broken else "within" if about.budget else "none was set"),
            ("data", lineage.data_source + (" (synthetic)" if lineage.synthetic else "")),
            ("licence of the data", about.data_license or "not stated"),
            ("intended use", about.intended_use or "not stated"),
            ("made", f"{lineage.created}, penjing {lineage.versions.get('penjing', '')}, seed {lineage.seed}"),
        ]
        return html_table(about.summary or "penjing bundle", (), rows)


def _tensor(entry: TensorEntry) -> str:
    return f"{entry.meaning}: {entry.dtype} of shape ({', '.join(map(str, entry.shape))})"


def _with_interval(entry: IntervalEntry) -> str:
    if entry.low is None or entry.high is None:
        return f"{entry.estimate:.4f}"
    return f"{entry.estimate:.4f} [{entry.low:.4f}, {entry.high:.4f}]"


def load_bundle(folder: str | Path) -> LoadedBundle:
    """Read a bundle safely: hashes checked, nothing outside the folder, no pickle.

    Raises:
        BundleError: The bundle is missing, damaged, unsafe or of an unknown schema version.
    """
    path = Path(folder)
    manifest, files = read_bundle(path)
    return LoadedBundle(path, manifest, files)
