"""Run a job: reference, recipe, file, verification, bundle, report. Every stage leaves its result in the run folder."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from penjing.bundle.atomic import write_bytes_atomically, write_json_atomically
from penjing.cache import cache_folder
from penjing.compression import checkpoint, pipeline
from penjing.compression.determinism import deterministic_kernels, fingerprint, fix_thread_order, seed_everything
from penjing.compression.distillation.teachers import check_augment_options
from penjing.compression.model_tree import check_finite, check_traceable
from penjing.compression.plan import plan_steps, reference_training
from penjing.compression.rehearsal import rehearse
from penjing.compression.workbench import Workbench
from penjing.contract import ExportSettings, OutcomeInfo, RunInfo, StepInfo
from penjing.host import PluginHost
from penjing.recipe import Recipe
from penjing.report import render_report
from penjing.runner.data_checks import check_splits
from penjing.runner.feasibility import check_feasible
from penjing.runner.folder import RunFolder
from penjing.runner.job import Job
from penjing.runner.model_checks import check_answers, check_outputs
from penjing.runner.outputs import metrics_document, report_input, write_run_bundle
from penjing.runner.result import RunResult
from penjing.runner.verification import verify_result
from penjing.verify.limits import Budget

Until = Literal["train", "compress", "all"]


class _Observer:
    """Passes steps on to the plugins that watch."""

    def __init__(self, host: PluginHost, info: RunInfo) -> None:
        self.host = host
        self.info = info

    def before_step(self, step: StepInfo) -> None:
        self.host.notify("penjing_before_step", run=self.info, step=step)

    def after_step(self, step: StepInfo, outcome: OutcomeInfo) -> None:
        self.host.notify("penjing_after_step", run=self.info, step=step, outcome=outcome)


@deterministic_kernels()
def run_job(
    host: PluginHost,
    job: Job,
    recipe: Recipe,
    budget: Budget,
    *,
    folder: RunFolder,
    key: Mapping[str, Any],
    seed: int,
    chosen_by: str,
    reporter: Any,
    until: Until = "all",
    teacher: Any = None,
) -> RunResult:
    """Run a job in an opened run folder.

    Args:
        recipe: Its steps are checked before anything else happens.
        key: What `RunFolder.open` was given.
        chosen_by: Who chose the recipe, for the report.
        until: Stop after this stage.
        teacher: A trained Keras model to distil from, in place of the domain's.

    Raises:
        PenjingError: Of the kind that fits; nothing half-written remains.
    """
    steps = plan_steps(recipe, host, host.resolve)
    training = reference_training(recipe)
    check_splits(job.splits, job.task)
    deterministic = fix_thread_order()
    if not deterministic:
        reporter.line(
            "TensorFlow was started before this run: its result may differ in the last bits from another run's"
        )
    write_bytes_atomically(folder.recipe_file, recipe.to_toml().encode())
    bench = Workbench(
        task=job.task,
        metric=job.primary,
        metric_function=job.metric_functions[job.primary.name],
        train=job.splits.train,
        validation=job.splits.validation,
        labels=job.splits.labels,
        extra=job.splits.extra,
        seed=seed,
        data_sha256=job.splits.sha256,
        reporter=reporter,
        augment=job.augment,
        loss=job.loss,
        build_teacher=job.build_teacher,
        teacher_key=job.teacher_key,
        teacher_cache=cache_folder() / "teachers",
        given_teacher=teacher,
        events=folder.events,
    )
    reporter.stage("reference")
    start = fingerprint([job.name, job.splits.sha256, str(seed), training.model_dump_json(), *job.extra_parts])

    def refuse(model: Any) -> None:
        check_feasible(model, budget)
        check_augment_options(steps, bench)
        if job.trains_reference or len(steps) > 1:
            rehearse(model, steps, host.resolve)

    reference, reference_record = _reference(job, bench, training, folder, start, reporter, refuse)
    if until == "train":
        return RunResult(folder=folder.path, metrics={}, report=None, bundle=None)
    info = RunInfo(
        domain=job.name,
        folder=folder.path,
        seed=seed,
        recipe=recipe.name,
        steps=tuple(step.technique.name for step in steps),
        data_source=job.splits.source,
    )
    reporter.stage("compression")
    reference_content = pipeline.export(reference, ExportSettings(), bench)
    result = pipeline.run_steps(
        reference,
        steps,
        bench,
        folder=folder.steps,
        reference_path=folder.reference,
        start=start,
        reference_bytes=len(reference_content),
        resolve=host.resolve,
        observer=_Observer(host, info),
    )
    if until == "compress":
        return RunResult(folder=folder.path, metrics={}, report=None, bundle=None)
    reporter.stage("verification")
    verified = verify_result(job, budget, reference, reference_content, result, seed, reporter)
    metrics = metrics_document(job, recipe, steps, seed, chosen_by, verified, deterministic)
    write_run_bundle(job, recipe, result, verified, metrics, folder)
    finished = RunInfo(**{**vars(info), "state": "finished", "metrics": metrics})
    page = render_report(report_input(host, job, recipe, result, verified, metrics, finished, reference_record))
    write_bytes_atomically(folder.report, page.encode())
    write_json_atomically(folder.metrics, metrics)
    folder.write_state("finished", key)
    host.notify("penjing_run_finished", run=finished)
    return RunResult(folder=folder.path, metrics=metrics, report=folder.report, bundle=folder.bundle)


def _reference(
    job: Job,
    bench: Workbench,
    training: Any,
    folder: RunFolder,
    start: str,
    reporter: Any,
    refuse: Callable[[Any], None],
) -> tuple[Any, dict[str, Any]]:
    """The trained reference, from its checkpoint where it is done.

    Args:
        refuse: Raises where the model cannot come to what is asked, before it is trained.
    """
    path = folder.reference_outcome
    if path.is_file():
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["fingerprint"] == start:
            reporter.line("reference: done before")
            return checkpoint.load_model(folder.reference), record
        shutil.rmtree(path.parent)
        shutil.rmtree(folder.steps, ignore_errors=True)
    began = time.monotonic()
    seed = seed_everything(bench.seed, "reference")
    model = job.build_model()
    check_traceable(model)
    check_outputs(model, job)
    check_finite(model)
    check_answers(model, job)
    refuse(model)
    history: Mapping[str, Any] = {}
    if job.trains_reference:
        trainer = bench.trainer(seed, path.parent, "reference")
        history = trainer.fit(model, training, label=start)
    checkpoint.save_model(model, folder.reference)
    record = {
        "fingerprint": start,
        "validation": bench.evaluate(model),
        "seconds": round(time.monotonic() - began, 3),
        "history": {name: list(values) for name, values in history.items()},
    }
    write_json_atomically(path, record)
    for leftover in path.parent.glob("training-*.npz"):
        leftover.unlink()
    return checkpoint.load_model(folder.reference), record
