"""One of our rows: a recipe on the float network, run by the engine's own pipeline."""

from __future__ import annotations

import json
import time
from pathlib import Path

from job import Job
from penjing_bench import bench_of, start

RECIPES = Path(__file__).resolve().parent / "recipes"


class _Unobserved:
    """No plugin is told about the steps."""

    def before_step(self, step: object) -> None:
        """Nothing to say."""

    def after_step(self, step: object, outcome: object) -> None:
        """Nothing to say."""


def main(job: Job) -> None:
    """Run the recipe that the job's options hold."""
    start()
    from penjing.compression import checkpoint, pipeline
    from penjing.compression.determinism import deterministic_kernels
    from penjing.compression.plan import plan_steps
    from penjing.contract import ExportSettings
    from penjing.host import PluginHost
    from penjing.recipe import Recipe

    folder, reference_path = Path(job.folder), Path(job.reference) / "reference.keras"
    host = PluginHost.discover()
    recipe = Recipe.from_toml(job.options["recipe"], source=f"{job.row}.toml")
    steps = plan_steps(recipe, host, host.resolve)
    reference = checkpoint.load_model(reference_path)
    bench = bench_of(job, teacher=reference)
    began = time.monotonic()
    with deterministic_kernels():
        float_file = pipeline.export(reference, ExportSettings(), bench)
        result = pipeline.run_steps(
            reference,
            steps,
            bench,
            folder=folder / "steps",
            reference_path=reference_path,
            start=json.dumps(job.options, sort_keys=True),
            reference_bytes=len(float_file),
            resolve=host.resolve,
            observer=_Unobserved(),
        )
    summary = "; ".join(f"{record.technique}: {record.summary}" for record in result.records)
    job.finish(result.content, time.monotonic() - began, ("penjing", "keras", "tensorflow"), summary)


if __name__ == "__main__":
    main(Job.from_command_line())
