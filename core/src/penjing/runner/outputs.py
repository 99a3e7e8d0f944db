"""What a run writes: metrics.json, the bundle, the report."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from penjing.bundle.storage import write_bundle
from penjing.compression import pipeline
from penjing.compression.plan import PlannedStep
from penjing.contract import ReportSection, RunInfo
from penjing.host import PluginHost
from penjing.recipe import Recipe
from penjing.report import ReportInput, StepRow
from penjing.runner import document
from penjing.runner.evaluation import confusion
from penjing.runner.folder import RunFolder
from penjing.runner.job import Job
from penjing.runner.verification import Verified
from penjing.runtime import LiteRTModel
from penjing.verify.conformance import DECIDING_TASKS


def metrics_document(
    job: Job,
    recipe: Recipe,
    steps: tuple[PlannedStep, ...],
    seed: int,
    chosen_by: str,
    verified: Verified,
    deterministic: bool,
) -> dict[str, Any]:
    """metrics.json, in the form of `penjing.report`'s schema."""
    splits = job.splits
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
        "baselines": [{"name": name, **document.score_entry(scores)} for name, scores in verified.baselines.items()],
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


def write_run_bundle(
    job: Job,
    recipe: Recipe,
    result: pipeline.PipelineResult,
    verified: Verified,
    metrics: Mapping[str, Any],
    folder: RunFolder,
) -> None:
    """The file with its manifest."""
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
        "decision_threshold": job.decision_threshold,
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
    write_bundle(folder.bundle, result.content, fields, splits.files)


def report_input(
    host: PluginHost,
    job: Job,
    recipe: Recipe,
    result: pipeline.PipelineResult,
    verified: Verified,
    metrics: dict[str, Any],
    info: RunInfo,
    reference_record: Mapping[str, Any],
) -> ReportInput:
    """Everything that report.html shows."""
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
        y, threshold = job.splits.test.y, job.decision_threshold
        matrices = (
            confusion(y, verified.reference.outputs, classes, threshold),
            confusion(y, verified.compressed.outputs, classes, threshold),
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
        sections=(
            *_sensitivity_sections(info, result),
            *(
                (str(contribution.source), contribution.value)
                for contribution in host.report_sections(info, verified.evaluation)
            ),
        ),
        recipe_toml=recipe.to_toml(),
        intended_use=job.intended_use,
    )


def _sensitivity_sections(info: RunInfo, result: pipeline.PipelineResult) -> list[tuple[str, ReportSection]]:
    """The sensitivity analyses that steps have left in their folders."""
    from penjing.report.sensitivity import sensitivity_section

    sections = []
    for record in result.records:
        path = info.folder / "steps" / f"{record.number:02d}-{record.technique}" / "sensitivity.json"
        if path.is_file():
            document = json.loads(path.read_text(encoding="utf-8"))
            section = sensitivity_section(document, f"{record.number} {record.technique}")
            sections.append((record.plugin, section))
    return sections
