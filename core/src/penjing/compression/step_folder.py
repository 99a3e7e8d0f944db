"""The folder of a finished step: `model.keras`, `model.tflite`, `invariants-N.npz`, and last of all `outcome.json` with
the hashes of the others: where it stands, the step is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from penjing.bundle.atomic import write_bytes_atomically, write_json_atomically
from penjing.compression import checkpoint
from penjing.compression.plan import PlannedStep, Resolve
from penjing.contract import ExportSettings, KeptAxes, LayerChange, StepOutcome
from penjing.errors import PluginError, RunFolderError


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """A finished step, as outcome.json has it."""

    number: int
    technique: str
    plugin: str
    settings: Mapping[str, Any]
    summary: str
    fingerprint: str
    seconds: float
    flash_bytes: int
    validation: float
    """The primary metric on the validation part: of the file once a step has decided how it is written, of the
    Keras model before."""
    figures: Mapping[str, float]
    layers: tuple[LayerChange, ...]
    history: Mapping[str, Sequence[float]]
    promises: tuple[str, ...]


def write_step(
    place: Path,
    chain: str,
    step: PlannedStep,
    outcome: StepOutcome,
    content: bytes,
    validation: float,
    seconds: float,
) -> None:
    checkpoint.save_model(outcome.model, place / "model.keras")
    write_bytes_atomically(place / "model.tflite", content)
    names = ["model.keras", "model.tflite"]
    promises = []
    for index, invariant in enumerate(outcome.invariants):
        kind = f"{type(invariant).__module__}:{type(invariant).__qualname__}"
        if kind not in step.technique.invariants:
            raise PluginError(
                f"the technique '{step.technique.name}' promises a {kind} that it does not declare",
                where=str(step.source),
                hint="name the class in Technique.invariants",
            )
        arrays = {name: np.asarray(value) for name, value in invariant.to_state().items()}
        name = f"invariants-{index}.npz"
        write_bytes_atomically(place / name, checkpoint.pack_arrays(arrays))
        names.append(name)
        promises.append({"kind": kind, "file": name, "summary": invariant.summary})
    if outcome.kept:
        write_bytes_atomically(place / "kept.npz", checkpoint.pack_arrays(_pack_kept(outcome.kept)))
        names.append("kept.npz")
    export_settings = vars(outcome.export) if outcome.export is not None else None
    write_json_atomically(
        place / "outcome.json",
        {
            "fingerprint": chain,
            "number": step.number,
            "technique": step.technique.name,
            "plugin": str(step.source),
            "settings": step.settings.model_dump(mode="json"),
            "summary": outcome.summary,
            "seconds": round(seconds, 3),
            "flash_bytes": len(content),
            "validation": validation,
            "figures": dict(outcome.figures),
            "layers": [vars(change) for change in outcome.layers],
            "history": {name: list(values) for name, values in outcome.history.items()},
            "promises": promises,
            "export": export_settings,
            "sha256": {name: _sha256(place / name) for name in names},
        },
    )
    for leftover in place.glob("training-*.npz"):
        leftover.unlink()


def _pack_kept(kept: KeptAxes) -> dict[str, np.ndarray]:
    """Kept indices as arrays that .npz can hold: an axis that is whole becomes an empty one."""
    return {
        f"{index}|{axis}|{path}": np.asarray([] if indices is None else indices, np.int64)
        for index, (path, axes) in enumerate(kept.items())
        for axis, indices in enumerate(axes)
    }


def _unpack_kept(arrays: Mapping[str, np.ndarray]) -> dict[str, list[np.ndarray | None]]:
    kept: dict[str, list[np.ndarray | None]] = {}
    for key in sorted(arrays, key=lambda key: [int(part) for part in key.split("|", 2)[:2]]):
        path = key.split("|", 2)[2]
        kept.setdefault(path, []).append(arrays[key] if arrays[key].size else None)
    return kept


def read_step(place: Path, chain: str, step: PlannedStep, resolve: Resolve) -> tuple[StepRecord, StepOutcome] | None:
    """A finished step, or None where it is not finished or belongs to another run.

    Raises:
        RunFolderError: The step is finished, but a file of it was changed or damaged since.
    """
    path = place / "outcome.json"
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        document = {}
    if document.get("fingerprint") != chain:
        return None
    for name, expected in document["sha256"].items():
        if not (place / name).is_file() or _sha256(place / name) != expected:
            raise RunFolderError(
                "a file of a finished step is missing or was changed",
                where=str(place / name),
                hint=f"delete {place} and run again with --resume; the step is then repeated",
            )
    invariants = tuple(
        resolve(promise["kind"], step.source).from_state(checkpoint.read_arrays(place / promise["file"]))
        for promise in document["promises"]
    )
    layers = tuple(LayerChange(**change) for change in document["layers"])
    outcome = StepOutcome(
        model=checkpoint.load_model(place / "model.keras"),
        summary=document["summary"],
        invariants=invariants,
        layers=layers,
        figures=document["figures"],
        history=document["history"],
        export=ExportSettings(**document["export"]) if document["export"] else None,
        kept=_unpack_kept(checkpoint.read_arrays(place / "kept.npz")) if "kept.npz" in document["sha256"] else {},
    )
    record = StepRecord(
        number=document["number"],
        technique=document["technique"],
        plugin=document["plugin"],
        settings=document["settings"],
        summary=document["summary"],
        fingerprint=chain,
        seconds=document["seconds"],
        flash_bytes=document["flash_bytes"],
        validation=document["validation"],
        figures=document["figures"],
        layers=layers,
        history=document["history"],
        promises=tuple(promise["summary"] for promise in document["promises"]),
    )
    return record, outcome


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
