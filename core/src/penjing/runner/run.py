"""Run a job: reference, recipe, file, verification, bundle, report. Every stage leaves its result in the run folder."""

from __future__ import annotations

import datetime
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from penjing.bundle.atomic import write_bytes_atomically, write_json_atomically
from penjing.bundle.storage import write_bundle
from penjing.cache import cache_folder
from penjing.compression import checkpoint, pipeline
from penjing.compression.determinism import fingerprint, make_deterministic, seed_everything
from penjing.compression.model_tree import check_finite, count_parameters
from penjing.compression.plan import PlannedStep, plan_steps, reference_training
from penjing.compression.workbench import Workbench, predict
from penjing.contract import ExportSettings, OutcomeInfo, RunInfo, StepInfo
from penjing.errors import ModelError
from penjing.host import PluginHost
from penjing.measure.file_graph import FileGraph
from penjing.measure.latency import measure_latency
from penjing.measure.macs import count_macs
from penjing.measure.tflm import Arena, measure_arena, tflm_is_installed
from penjing.recipe import Recipe
from penjing.report import ReportInput, StepRow, render_report
from penjing.runner import document
from penjing.runner.data_checks import check_splits
from penjing.runner.evaluation import Scores, audit, confusion, differences, score
from penjing.runner.folder import RunFolder
from penjing.runner.job import Job
from penjing.runner.result import RunResult
from penjing.runtime import LiteRTModel
from penjing.verify.conformance import DECIDING_TASKS, Conformance, check_conformance
from penjing.verify.limits import Budget, BudgetLine

Until = Literal["train", "compress", "all"]

CONFORMANCE_EXAMPLES = 2000
"""Test examples that go through every runtime, at most; TFLM's reference kernels are slow."""


class _Observer:
    """Passes steps on to the plugins that watch."""

    def __init__(self, host: PluginHost, info: RunInfo) -> None:
        self.host = host
        self.info = info

    def before_step(self, step: StepInfo) -> None:
        self.host.notify("penjing_before_step", run=self.info, step=step)

    def after_step(self, step: StepInfo, outcome: OutcomeInfo) -> None:
        self.host.notify("penjing_after_step", run=self.info, step=step, outcome=outcome)


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
    deterministic = make_deterministic()
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
        augment_key=job.augment_key,
        loss=job.loss,
        build_teacher=job.build_teacher,
        teacher_key=job.teacher_key,
        teacher_cache=cache_folder() / "teachers",
        given_teacher=teacher,
        events=folder.events,
    )
    reporter.stage("reference")
    start = fingerprint([job.name, job.splits.sha256, str(seed), training.model_dump_json(), *job.extra_parts])
    reference, reference_record = _reference(job, bench, training, folder, start, reporter)
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
        start=start,
        reference_bytes=len(reference_content),
        resolve=host.resolve,
        observer=_Observer(host, info),
    )
    if until == "compress":
        return RunResult(folder=folder.path, metrics={}, report=None, bundle=None)
    reporter.stage("verification")
    verified = _verify(job, budget, reference, reference_content, result, seed, reporter)
    metrics = _metrics_document(job, recipe, steps, seed, chosen_by, verified, deterministic)
    _write_bundle(job, recipe, result, verified, metrics, folder)
    finished = RunInfo(**{**vars(info), "state": "finished", "metrics": metrics})
    page = render_report(_report_input(host, job, recipe, result, verified, metrics, finished, reference_record))
    write_bytes_atomically(folder.report, page.encode())
    write_json_atomically(folder.metrics, metrics)
    folder.write_state("finished", key)
    host.notify("penjing_run_finished", run=finished)
    return RunResult(folder=folder.path, metrics=metrics, report=folder.report, bundle=folder.bundle)


def _reference(
    job: Job, bench: Workbench, training: Any, folder: RunFolder, start: str, reporter: Any
) -> tuple[Any, dict[str, Any]]:
    """The trained reference, from its checkpoint where it is done."""
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
    check_outputs(model, job)
    check_finite(model)
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


def check_outputs(model: Any, job: Job) -> None:
    """Hold the model's shapes against the data's.

    Raises:
        ModelError: Inputs or outputs do not fit.
    """
    x = job.splits.train.x
    given = list(x.values()) if isinstance(x, dict) else [x]
    if len(given) != len(model.inputs):
        raise ModelError(f"the model has {len(model.inputs)} inputs, the data {len(given)}")
    for tensor, values in zip(model.inputs, given, strict=True):
        expected, found = tuple(tensor.shape[1:]), np.asarray(values).shape[1:]
        if len(expected) != len(found) or any(
            size is not None and size != real for size, real in zip(expected, found, strict=False)
        ):
            raise ModelError(
                f"the model takes inputs of shape {expected}, the data has {found}",
                where=f"input '{tensor.name}'",
            )
    if len(model.outputs) != 1:
        return
    outputs = int(model.outputs[0].shape[-1])
    labels = job.splits.labels
    if job.task in ("classification", "ordinal"):
        classes = max(len(labels), int(np.max(np.asarray(job.splits.train.y))) + 1)
        if np.asarray(job.splits.train.y).ndim == 1 and classes > outputs:
            raise ModelError(
                f"the model has {outputs} outputs, the data {classes} classes",
                hint="give the last layer one unit per class",
            )


@dataclass(frozen=True, kw_only=True)
class _Verified:
    reference: Scores
    compressed: Scores
    baseline: tuple[str, Scores] | None
    difference: dict[str, Any]
    audit: tuple[Any, ...]
    conformance: Conformance
    lines: tuple[BudgetLine, ...]
    entries: dict[str, dict[str, Any]]
    """The entries of `reference` and `compressed` in metrics.json."""


def _verify(
    job: Job,
    budget: Budget,
    reference: Any,
    reference_content: bytes,
    result: pipeline.PipelineResult,
    seed: int,
    reporter: Any,
) -> _Verified:
    test, splits = job.splits.test, job.splits
    file = LiteRTModel(result.content)
    common: dict[str, Any] = {
        "metrics": job.metrics,
        "functions": job.metric_functions,
        "split": test,
        "splits": splits,
        "seed": seed,
    }
    reporter.line("reading the test part: reference, file, baseline")
    reference_scores = score(predict=lambda x: predict(reference, x), **common)
    compressed_scores = score(predict=file.predict, **common)
    baseline = None
    if job.baseline is not None:
        fitted = job.baseline()
        baseline = (fitted.name, score(predict=fitted.predict, **common))
    difference = differences(job.metrics, job.metric_functions, test, reference_scores, compressed_scores, seed=seed)
    rows = audit(
        job.primary,
        job.metric_functions[job.primary.name],
        test,
        job.slices,
        reference_scores,
        compressed_scores,
        seed=seed,
    )
    reporter.line("comparing runtimes: Keras, LiteRT reference kernels, XNNPACK, TFLM")
    count = min(len(test), CONFORMANCE_EXAMPLES)
    conformance = check_conformance(
        result.content,
        _head(test.x, count),
        task=job.task,
        keras_outputs=predict(result.model, _head(test.x, count)),
    )
    reporter.line("measuring latency and arena")
    latency = measure_latency(result.content)
    arena = (
        measure_arena(result.content)
        if tflm_is_installed()
        else Arena(arena_bytes=None, note="tflite-micro is not installed: pip install 'penjing[microcontroller]'")
    )
    graph = FileGraph.from_bytes(result.content)
    macs = count_macs(graph)
    entries = {
        "reference": {
            **document.model_entry(
                reference_scores,
                params=count_parameters(reference),
                macs=count_macs(FileGraph.from_bytes(reference_content)).total,
                flash_bytes=len(reference_content),
            ),
            "latency_us": document.latency_entry(measure_latency(reference_content)),
        },
        "compressed": {
            **document.model_entry(
                compressed_scores,
                params=count_parameters(result.model),
                macs=macs.total,
                flash_bytes=len(result.content),
            ),
            "zip_bytes": graph.zip_bytes,
            "arena_bytes": arena.arena_bytes,
            "arena_note": arena.note,
            "latency_us": document.latency_entry(latency),
        },
    }
    estimate = difference[job.primary.name]
    higher = job.primary.direction == "higher"
    drop = -estimate.estimate if higher else estimate.estimate
    worst = -estimate.low if higher else estimate.high
    notes = {"arena_bytes": arena.note}
    if not macs.is_complete:
        notes["macs"] = f"at least {macs.total:,}: the file holds a loop and does not say how often it runs"
    limit = budget.limits.get("drop")
    if limit is not None and drop <= limit < worst:
        notes["drop"] = f"the interval reaches {worst:.4f}, beyond the limit"
    lines = budget.check(
        {
            "flash_bytes": float(len(result.content)),
            "arena_bytes": None if arena.arena_bytes is None else float(arena.arena_bytes),
            "macs": float(macs.total) if macs.is_complete else None,
            "latency_us": latency.p50_us,
            "drop": drop,
        },
        notes,
    )
    return _Verified(
        reference=reference_scores,
        compressed=compressed_scores,
        baseline=baseline,
        difference=difference,
        audit=rows,
        conformance=conformance,
        lines=lines,
        entries=entries,
    )


def _metrics_document(
    job: Job,
    recipe: Recipe,
    steps: tuple[PlannedStep, ...],
    seed: int,
    chosen_by: str,
    verified: _Verified,
    deterministic: bool,
) -> dict[str, Any]:
    splits = job.splits
    baseline = None
    if verified.baseline is not None:
        name, scores = verified.baseline
        intervals = {key: document.interval_entry(value) for key, value in scores.intervals.items()}
        baseline = {"name": name, "metrics": dict(scores.metrics), "intervals": intervals}
    return {
        "schema_version": document.SCHEMA_VERSION,
        "domain": job.name,
        "seed": seed,
        "deterministic": deterministic,
        "data": document.data_entry(
            splits.source,
            splits.sha256,
            splits.synthetic,
            {"train": splits.train, "validation": splits.validation, "test": splits.test},
            splits.notes,
        ),
        "primary_metric": job.primary.name,
        "directions": {metric.name: metric.direction for metric in job.metrics},
        "baseline": baseline,
        "reference": verified.entries["reference"],
        "compressed": verified.entries["compressed"],
        "difference": {name: document.interval_entry(value) for name, value in verified.difference.items()},
        "conformance": verified.conformance.to_json(),
        "budget": document.budget_entries(verified.lines),
        "recipe": {
            "name": recipe.name,
            "chosen_by": chosen_by,
            "steps": [step.technique.name for step in steps],
        },
        "audit": document.audit_entries(verified.audit),
        "versions": document.versions(job.plugin),
        "machine": document.machine(),
    }


def _write_bundle(
    job: Job,
    recipe: Recipe,
    result: pipeline.PipelineResult,
    verified: _Verified,
    metrics: Mapping[str, Any],
    folder: RunFolder,
) -> None:
    splits = job.splits
    file = LiteRTModel(result.content)
    tensors = {
        "inputs": [{**asdict(info), "meaning": splits.input_meaning} for info in file.inputs],
        "outputs": [{**asdict(info), "meaning": splits.output_meaning} for info in file.outputs],
    }
    for entries in tensors.values():
        for entry in entries:
            del entry["name"]
            entry["shape"] = list(entry["shape"])
    intervals = metrics["compressed"]["intervals"]
    fields = {
        "domain": job.name,
        "name": recipe.name,
        "summary": job.title,
        "task": job.task,
        "labels": list(splits.labels),
        **tensors,
        "preprocessing": dict(splits.preprocessing),
        "recipe": recipe.to_toml(),
        "lineage": {
            "data_source": splits.source,
            "data_sha256": splits.sha256,
            "synthetic": splits.synthetic,
            "seed": metrics["seed"],
            "versions": metrics["versions"],
            "steps": [
                {
                    "technique": record.technique,
                    "plugin": record.plugin,
                    "settings": dict(record.settings),
                    "summary": record.summary,
                }
                for record in result.records
            ],
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
        "metrics": {
            name: intervals.get(name, {"estimate": value})
            for name, value in metrics["compressed"]["metrics"].items()
            if value is not None
        },
        "budget": metrics["budget"],
        "intended_use": job.intended_use,
        "data_license": job.data_license,
    }
    write_bundle(folder.bundle, result.content, fields)


def _report_input(
    host: PluginHost,
    job: Job,
    recipe: Recipe,
    result: pipeline.PipelineResult,
    verified: _Verified,
    metrics: dict[str, Any],
    info: RunInfo,
    reference_record: Mapping[str, Any],
) -> ReportInput:
    rows = [
        StepRow(
            number=0,
            technique="reference",
            summary="the trained model before compression, float32",
            flash_bytes=metrics["reference"]["flash_bytes"],
            validation=reference_record["validation"],
            seconds=reference_record["seconds"],
        )
    ]
    curves = {"reference": reference_record["history"]} if reference_record["history"] else {}
    for record in result.records:
        rows.append(
            StepRow(
                number=record.number,
                technique=record.technique,
                summary=record.summary,
                flash_bytes=record.flash_bytes,
                validation=record.validation,
                seconds=record.seconds,
            )
        )
        if record.history:
            curves[f"{record.number} {record.technique}"] = record.history
    matrices: tuple[Any, Any] = (None, None)
    classes = len(job.splits.labels)
    if job.task in DECIDING_TASKS and job.task != "multilabel" and 2 <= classes <= 40:
        matrices = (
            confusion(job.splits.test.y, verified.reference.outputs, classes),
            confusion(job.splits.test.y, verified.compressed.outputs, classes),
        )
    return ReportInput(
        title=job.name,
        summary=job.title,
        metrics=metrics,
        steps=tuple(rows),
        labels=job.splits.labels,
        confusion_reference=matrices[0],
        confusion_compressed=matrices[1],
        curves=curves,
        layers={f"{record.number} {record.technique}": record.layers for record in result.records if record.layers},
        sections=tuple((str(contribution.source), contribution.value) for contribution in host.report_sections(info)),
        recipe_toml=recipe.to_toml(),
        intended_use=job.intended_use,
    )


def _head(x: Any, count: int) -> Any:
    if isinstance(x, dict):
        return {name: np.asarray(values)[:count] for name, values in x.items()}
    return np.asarray(x)[:count]
