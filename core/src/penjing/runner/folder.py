"""The run folder: what a run leaves behind, and whether a new run may use it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from penjing.bundle.atomic import write_json_atomically
from penjing.errors import RunFolderError
from penjing.recipe import Recipe
from penjing.verify.limits import Budget

State = Literal["running", "finished"]


RUNS_VARIABLE = "PENJING_RUNS"


def runs_folder() -> Path:
    """Where run folders go that are not named: the folder that PENJING_RUNS names, or ./runs."""
    return Path(os.environ.get(RUNS_VARIABLE) or "runs")


def run_key(domain: str, seed: int, data_sha256: str, recipe: Recipe, budget: Budget) -> dict[str, Any]:
    """What makes a run what it is."""
    return {
        "domain": domain,
        "seed": seed,
        "data": data_sha256,
        "recipe": recipe.to_toml(),
        "budget": dict(budget.limits),
    }


@dataclass(frozen=True)
class RunFolder:
    """`runs/<domain>/<name>/` with fixed places for everything."""

    path: Path

    @property
    def state_file(self) -> Path:
        return self.path / "run.json"

    @property
    def recipe_file(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def reference(self) -> Path:
        return self.path / "reference.keras"

    @property
    def reference_outcome(self) -> Path:
        return self.path / "reference" / "outcome.json"

    @property
    def steps(self) -> Path:
        return self.path / "steps"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def events(self) -> Path:
        return self.path / "tensorboard"

    def open(self, key: Mapping[str, Any], *, resume: bool, overwrite: bool) -> State | None:
        """Take the folder for a run.

        Args:
            key: What makes the run what it is: domain, seed, recipe, data, budget.
            resume: Go on with what is there.
            overwrite: Delete what is there; only a folder that holds a run is deleted.

        Returns:
            "finished" where the very same run is already done, else None: steps that would come out the same are
            taken over all the same.

        Raises:
            RunFolderError: The folder holds something else, or another run, or a run and neither option is given.
        """
        if self.path.exists() and any(self.path.iterdir()):
            known = self._read_state()
            if known is None:
                raise RunFolderError(
                    "the output folder holds something else than a run",
                    where=str(self.path),
                    hint="choose an empty or new folder",
                )
            if overwrite:
                shutil.rmtree(self.path)
            elif not resume and self._holds_work():
                raise RunFolderError(
                    f"the output folder holds a run already ({known.get('state', 'unknown')})",
                    where=str(self.path),
                    hint="--resume goes on with it, --overwrite starts anew, --output takes another folder",
                )
            elif resume:
                self._check_same(known.get("key", {}), key)
                same = known.get("key") == dict(key)
                if same and known.get("state") == "finished" and self.metrics.is_file():
                    return "finished"
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_state("running", key)
        return None

    def write_state(self, state: State, key: Mapping[str, Any]) -> None:
        """Record how far the run is."""
        write_json_atomically(self.state_file, {"state": state, "key": dict(key)})

    def _holds_work(self) -> bool:
        """Whether anything would be lost: a run that failed before its first epoch leaves two small files only."""
        files = {path for path in self.path.rglob("*") if path.is_file()}
        return bool(files - {self.state_file, self.recipe_file})

    def _read_state(self) -> dict[str, Any] | None:
        try:
            document = json.loads(self.state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) else None

    def _check_same(self, known: Mapping[str, Any], key: Mapping[str, Any]) -> None:
        for name in ("domain", "seed", "data"):
            if known.get(name) != key.get(name):
                raise RunFolderError(
                    f"the run in the output folder has another {name}: "
                    f"{known.get(name)!r} instead of {key.get(name)!r}",
                    where=str(self.path),
                    hint="use the same options as before, or --overwrite, or another --output",
                )
