"""Runs the rows, one training at a time, and goes on where it was interrupted.

A stage is done when its folder holds made.json for the very same job; a row, when its result names the very same jobs.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from environments import python_of
from job import Job
from machine import describe
from measurement import measure
from rows import FLOAT_FILE, ROWS, Row
from scaling import scaled_recipe
from tasks import EXAMPLES, TASKS, Task

HERE = Path(__file__).resolve().parent


class WorkerError(Exception):
    """A worker process ended with an error; the text is its last words."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark: where it reads, where it writes, how large it is."""

    output: Path
    data: Path
    environments: Path
    epochs: int | None
    """Of the float network, in place of the task's own."""
    examples: int | None

    def run(self, tasks: Sequence[str], rows: Sequence[str], seeds: Iterable[int]) -> int:
        """Make and measure what is not there yet.

        Returns:
            1 where a row failed, else 0.
        """
        failed = 0
        seeds = list(seeds)
        for task in tasks:
            examples = self._arrays(task)
            for seed in seeds:
                reference = self._reference(TASKS[task], seed, examples)
                # What another row needs comes first, whatever is asked for.
                needed = [row for row in ROWS if row in rows or row == FLOAT_FILE]
                for name in needed:
                    failed += not self._row(ROWS[name], TASKS[task], seed, examples, reference)
        return int(failed > 0)

    def _arrays(self, task: str) -> dict[str, Any]:
        counts = {part: min(count, self.examples or count) for part, count in EXAMPLES[task].items()}
        folder = self.output / "data"
        noted = folder / f"{task}.json"
        if not noted.is_file() or json.loads(noted.read_text())["asked"] != counts:
            print(f"{task}: reading the data", flush=True)
            self._process("task_data.py", "penjing", [task, self.data, folder, json.dumps(counts)])
        return dict(json.loads(noted.read_text())["found"])

    def _job(
        self, task: Task, row: str, seed: int, examples: dict[str, Any], folder: Path, epochs: int, options: Any
    ) -> Job:
        return Job(
            task=task.name,
            row=row,
            seed=seed,
            folder=str(folder),
            train=str(self.output / "data" / f"{task.name}-train.npz"),
            reference=str(self._work(task, seed) / "reference"),
            epochs=epochs,
            float_epochs=self.epochs or task.epochs,
            examples=examples,
            options=options,
        )

    def _work(self, task: Task, seed: int) -> Path:
        return self.output / "work" / task.name / f"seed-{seed}"

    def _reference(self, task: Task, seed: int, examples: dict[str, Any]) -> dict[str, Any]:
        folder = self._work(task, seed) / "reference"
        job = self._job(task, "reference", seed, examples, folder, self.epochs or task.epochs, {})
        return self._do(job, "penjing_reference.py", "penjing")

    def _compression_epochs(self, task: Task) -> int:
        if self.epochs is None:
            return task.compression_epochs
        return max(1, round(self.epochs * task.compression_epochs / task.epochs))

    def _row(self, row: Row, task: Task, seed: int, examples: dict[str, Any], reference: dict[str, Any]) -> bool:
        result = self.output / "results" / task.name / row.name / f"seed-{seed}.json"
        epochs = self._compression_epochs(task) if row.trains else 0
        jobs: list[Job] = []
        for number, stage in enumerate(row.stages):
            options = dict(stage.options)
            for option, needed in stage.needs.items():
                options[option] = (
                    jobs[-1].folder if needed == "previous" else str(self._last_folder(task, seed, needed))
                )
            if "recipe" in options:
                options["recipe"] = scaled_recipe(options["recipe"], epochs)
            folder = self._work(task, seed) / row.name / str(number)
            jobs.append(self._job(task, row.name, seed, examples, folder, epochs, options))
        asked = [asdict(job) for job in jobs]
        if result.is_file():
            known = json.loads(result.read_text())
            if known.get("jobs") == asked and "accuracy" in known:
                return True
        outcome: dict[str, Any] = {"task": task.name, "row": row.name, "seed": seed, "jobs": asked}
        missing = self._missing_technique(jobs)
        load = os.getloadavg()[0]
        if missing is not None:
            outcome["skipped"] = f"penjing has no technique '{missing}'"
        else:
            try:
                made = [
                    self._do(job, stage.script, stage.environment) for job, stage in zip(jobs, row.stages, strict=True)
                ]
                content = (Path(jobs[-1].folder) / "model.tflite").read_bytes()
                outcome |= measure(content, self.output / "data" / f"{task.name}-test.npz")
                outcome |= {
                    "seconds": sum(each["seconds"] for each in made),
                    "reference_seconds": reference["seconds"],
                    "versions": {name: text for each in made for name, text in each["versions"].items()},
                    "note": "; ".join(each["note"] for each in made if each["note"]),
                    "load": load,
                    "machine": describe(),
                    "date": datetime.date.today().isoformat(),
                }
            except (WorkerError, RuntimeError) as error:
                outcome["failed"] = str(error)
        result.parent.mkdir(parents=True, exist_ok=True)
        partial = result.with_suffix(".partial")
        partial.write_text(json.dumps(outcome, indent=1))
        partial.replace(result)
        said = (
            f"{outcome['accuracy']:.4f}, {outcome['flash_bytes']:,} B, {outcome['seconds']:.0f} s"
            if "accuracy" in outcome
            else outcome.get("skipped") or f"FAILED: {outcome['failed']}"
        )
        print(f"{task.name} seed {seed} {row.name}: {said}", flush=True)
        return "failed" not in outcome

    def _last_folder(self, task: Task, seed: int, row: str) -> Path:
        return self._work(task, seed) / row / str(len(ROWS[row].stages) - 1)

    def _missing_technique(self, jobs: Sequence[Job]) -> str | None:
        """A technique of our recipes that the installed penjing does not know."""
        from penjing.host import PluginHost

        recipes = [job.options["recipe"] for job in jobs if "recipe" in job.options]
        if not recipes:
            return None
        known = PluginHost.discover().techniques
        if not known:  # nothing would be missing then, all of it is broken
            raise SystemExit("penjing has no techniques at all: see `penjing doctor`")
        steps = [step for recipe in recipes for step in tomllib.loads(recipe).get("steps", [])]
        return next((step["technique"] for step in steps if step["technique"] not in known), None)

    def _do(self, job: Job, script: str, environment: str) -> dict[str, Any]:
        """Run a worker, or take what it has left before."""
        made = job.made
        if made is not None:
            return made
        job.write()
        said = self._process(script, environment, [job.folder])
        (Path(job.folder) / "log.txt").write_text(said)
        made = job.made
        if made is None:
            raise WorkerError(f"{script} left nothing in {job.folder}")
        return made

    def _process(self, script: str, environment: str, arguments: Sequence[str | Path]) -> str:
        """Run a script of this folder in an environment; what it said.

        Raises:
            WorkerError: It ended with an error.
            RuntimeError: The environment cannot be made.
        """
        python = python_of(environment, self.environments)
        own = [str(HERE)]
        if environment == "penjing" and os.environ.get("PYTHONPATH"):
            own.append(os.environ["PYTHONPATH"])
        done = subprocess.run(
            [python, HERE / script, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(own), "TF_CPP_MIN_LOG_LEVEL": "3"},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            words = [line for line in done.stderr.strip().splitlines() if line.strip()]
            raise WorkerError(f"{script} ended with {done.returncode}: {' | '.join(words[-3:])[-600:]}")
        return done.stdout + done.stderr
