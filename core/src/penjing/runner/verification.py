"""Verify what a recipe made: on the test part, across runtimes, against the budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from penjing.compression import pipeline
from penjing.compression.model_tree import count_parameters
from penjing.compression.workbench import predict
from penjing.contract import Evaluation, Metric
from penjing.errors import MissingExtraError
from penjing.measure.file_graph import FileGraph
from penjing.measure.latency import measure_latency
from penjing.measure.macs import count_macs
from penjing.measure.tflm import Arena, measure_arena, tflm_is_installed
from penjing.runner import document
from penjing.runner.evaluation import Predict, Scores, audit, differences, score
from penjing.runner.job import Job
from penjing.runtime import LiteRTModel
from penjing.verify.conformance import Conformance, check_conformance
from penjing.verify.limits import Budget, BudgetLine

CONFORMANCE_EXAMPLES = 2000
"""Test examples that go through every runtime, at most; TFLM's reference kernels are slow."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What the verification found."""

    reference: Scores
    compressed: Scores
    baselines: Mapping[str, Scores]
    """By name, the best first."""
    difference: dict[str, Any]
    audit: tuple[Any, ...]
    conformance: Conformance
    lines: tuple[BudgetLine, ...]
    entries: dict[str, dict[str, Any]]
    """The entries of `reference` and `compressed` in metrics.json."""
    evaluation: Evaluation


def verify_result(
    job: Job,
    budget: Budget,
    reference: Any,
    reference_content: bytes,
    result: pipeline.PipelineResult,
    seed: int,
    reporter: Any,
) -> Verified:
    """Read the test part, once, for reference, file and baseline; compare runtimes; measure; check the budget."""
    test, splits = job.splits.test, job.splits
    file = LiteRTModel(result.content)
    common: dict[str, Any] = {
        "metrics": job.metrics,
        "functions": job.metric_functions,
        "split": test,
        "splits": splits,
        "seed": seed,
    }
    reporter.line("reading the test part: reference, file, baselines")
    predicts: dict[str, Predict] = {"reference": lambda x: predict(reference, x), "compressed": file.predict}
    reference_scores = score(predict=predicts["reference"], **common)
    compressed_scores = score(predict=predicts["compressed"], **common)
    baselines: dict[str, Scores] = {}
    for fit in job.baselines:
        try:
            fitted = fit()
        except MissingExtraError as error:
            reporter.line(f"a baseline is left out: {error.what}; {error.hint}")
            continue
        predicts[fitted.name] = fitted.predict
        baselines[fitted.name] = score(predict=fitted.predict, **common)
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
        threshold=job.decision_threshold,
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
    drop = (-estimate.estimate if higher else estimate.estimate) + 0.0  # no "-0.0"
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
    return Verified(
        reference=reference_scores,
        compressed=compressed_scores,
        baselines=_best_first(baselines, job.primary),
        difference=difference,
        audit=rows,
        conformance=conformance,
        lines=lines,
        entries=entries,
        evaluation=Evaluation(
            splits=splits,
            outputs={"reference": reference_scores.outputs, "compressed": compressed_scores.outputs}
            | {name: scores.outputs for name, scores in baselines.items()},
            predict=predicts,
            reference=reference,
            content=result.content,
        ),
    )


def _best_first(baselines: Mapping[str, Scores], primary: Metric) -> dict[str, Scores]:
    def rank(item: tuple[str, Scores]) -> float:
        value = item[1].metrics.get(primary.name)
        if value is None:
            return math.inf
        return -value if primary.direction == "higher" else value

    return dict(sorted(baselines.items(), key=rank))


def _head(x: Any, count: int) -> Any:
    if isinstance(x, dict):
        return {name: np.asarray(values)[:count] for name, values in x.items()}
    return np.asarray(x)[:count]
