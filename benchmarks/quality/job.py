"""What one process is told and what it leaves: job.json in; model.tflite and made.json out. Needs numpy alone.

Every worker script is run as `python WORKER.py FOLDER` in the environment of its library, with this folder on the path.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tasks import BATCH_SIZE, CALIBRATION_EXAMPLES


@dataclass(frozen=True, kw_only=True)
class Job:
    """One row with one seed."""

    task: str
    row: str
    seed: int
    folder: str
    """Where the artefact goes."""
    train: str
    """The .npz with training and validation part."""
    reference: str
    """Folder of the float network: reference.keras, weights.npz, outputs.npz (its outputs for the first validation
    examples)."""
    epochs: int
    """Of all trainings of this row together."""
    float_epochs: int
    """Of the float network."""
    examples: dict[str, Any]
    """What `task_data.write_arrays` says about the arrays: other data is another job."""
    options: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """x_train, y_train, x_validation, y_validation."""
        with np.load(self.train, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    @cached_property
    def calibration(self) -> np.ndarray:
        """Training inputs that set ranges, the same in every library but our own, which chooses by itself."""
        x = self.arrays["x_train"]
        rows = np.random.default_rng(self.seed).permutation(len(x))[:CALIBRATION_EXAMPLES]
        return x[np.sort(rows)]

    @property
    def updates(self) -> int:
        """Of all trainings together."""
        return self.epochs * -(-len(self.arrays["y_train"]) // BATCH_SIZE)

    @property
    def probe(self) -> tuple[np.ndarray, np.ndarray]:
        """A few inputs and the float network's outputs for them, to see that a library starts from it."""
        with np.load(Path(self.reference) / "outputs.npz", allow_pickle=False) as archive:
            return self.arrays["x_validation"][: len(archive["outputs"])], archive["outputs"]

    def write(self) -> None:
        """Write job.json into an empty folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        Path(self.folder).mkdir(parents=True)
        (Path(self.folder) / "job.json").write_text(json.dumps(asdict(self), indent=1))

    @property
    def made(self) -> dict[str, Any] | None:
        """What a worker has left for this very job; None where it is still to be done."""
        folder = Path(self.folder)
        if not (folder / "made.json").is_file():
            return None
        if json.loads((folder / "job.json").read_text()) != asdict(self):
            return None
        made: dict[str, Any] = json.loads((folder / "made.json").read_text())
        return made

    @classmethod
    def from_command_line(cls) -> Job:
        """The job of the folder that the worker was started with."""
        return cls(**json.loads((Path(sys.argv[1]) / "job.json").read_text()))

    def finish(self, content: bytes, seconds: float, packages: tuple[str, ...], note: str = "") -> None:
        """Leave the artefact.

        Args:
            content: A .tflite file.
            seconds: From the loaded float network to the file, imports left out.
            packages: Distributions whose versions the table names.
            note: What is worth knowing, for the table's end.
        """
        (Path(self.folder) / "model.tflite").write_bytes(content)
        self.leave(seconds, packages, note)

    def leave(self, seconds: float, packages: tuple[str, ...], note: str = "") -> None:
        """Write made.json alone: for a worker whose artefact is no file of its own."""
        made = {
            "seconds": round(seconds, 2),
            "versions": {package: version(package) for package in packages},
            "note": note,
        }
        (Path(self.folder) / "made.json").write_text(json.dumps(made, indent=1))
