"""Run a recipe: step by step, each checkpointed whole or not at all, earlier promises checked after each later step.

A step's fingerprint chains everything that it depends on, so `--resume` takes over exactly the steps that would come
out the same.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import keras
import numpy as np

from penjing.bundle.atomic import write_bytes_atomically
from penjing.compression import checkpoint
from penjing.compression.determinism import fingerprint, seed_everything
from penjing.compression.growth import check_growth
from penjing.compression.model_tree import check_finite
from penjing.compression.plan import PlannedStep, Resolve
from penjing.compression.step_folder import StepRecord, read_step, write_step
from penjing.compression.technique_calls import applied
from penjing.compression.workbench import Workbench
from penjing.contract import (
    ExportSettings,
    Invariant,
    LayerChange,
    OutcomeInfo,
    StepContext,
    StepInfo,
    StepOutcome,
    Violation,
)
from penjing.errors import CheckFailedError, as_plugin_error
from penjing.export.litert import to_litert


class Observer(Protocol):
    """Who is told about steps; a plugin host passes it on."""

    def before_step(self, step: StepInfo) -> None: ...

    def after_step(self, step: StepInfo, outcome: OutcomeInfo) -> None: ...


@dataclass(frozen=True, kw_only=True)
class PipelineResult:
    """What a recipe made of a model."""

    model: keras.Model
    """The Keras model after the last step."""
    content: bytes
    """The .tflite file."""
    export: ExportSettings
    records: tuple[StepRecord, ...]


def run_steps(
    model: keras.Model,
    steps: Sequence[PlannedStep],
    bench: Workbench,
    *,
    folder: Path,
    reference_path: Path,
    start: str,
    reference_bytes: int,
    resolve: Resolve,
    observer: Observer,
) -> PipelineResult:
    """Run the steps of a recipe on a model.

    Args:
        model: The trained reference, loaded from `reference_path`; it is not changed.
        folder: `steps/` of the run folder. Finished steps in it are taken over when their fingerprints fit.
        start: Fingerprint of the reference: of data, seed, recipe tables and training.
        reference_bytes: Flash of the reference's float32 file.
        resolve: Imports "package.module:function" on behalf of a plugin.

    Raises:
        CheckFailedError: A step broke an earlier promise, or quantization makes the file larger.
        PluginError: A technique failed in a way of its own.
    """
    check_finite(model)
    chain = start
    state = _State(model=model, path=reference_path, export=ExportSettings(), flash_bytes=reference_bytes)
    records: list[StepRecord] = []
    for step in steps:
        chain = fingerprint([chain, step.technique.name, step.settings.model_dump_json(), str(step.source)])
        place = folder / f"{step.number:02d}-{step.technique.name}"
        info = StepInfo(
            number=step.number,
            technique=step.technique.name,
            settings=step.settings.model_dump(mode="json"),
            plugin=str(step.source),
        )
        observer.before_step(info)
        finished = read_step(place, chain, step, resolve)
        resumed = finished is not None
        if finished is None:
            _run_step(state, step, bench, place, chain, resolve, reference_path)
            # Also a step that has just run goes on from its checkpoint: a resumed run cannot differ then.
            finished = read_step(place, chain, step, resolve)
            assert finished is not None
        else:
            bench.reporter.line(f"step {step.number}, {step.technique.name}: done before")
        record, outcome = finished
        state = _State(
            model=outcome.model,
            path=place / "model.keras",
            export=outcome.export or state.export,
            invariants=_promises_after(state, outcome),
            flash_bytes=record.flash_bytes,
            content=(place / "model.tflite").read_bytes(),
        )
        records.append(record)
        observer.after_step(
            info,
            OutcomeInfo(
                summary=record.summary,
                metric=bench.metric.name,
                value=record.validation,
                flash_bytes=record.flash_bytes,
                seconds=record.seconds,
                resumed=resumed,
                figures=record.figures,
            ),
        )
    content = state.content or export(state.model, state.export, bench)
    broken = check_promises(state.invariants, lambda invariant: invariant.check_file(content))
    if broken:
        raise _broken("the exported file", broken)
    return PipelineResult(model=state.model, content=content, export=state.export, records=tuple(records))


@dataclass(frozen=True, kw_only=True)
class _State:
    model: keras.Model
    path: Path
    """Where the model lies on disk."""
    export: ExportSettings
    flash_bytes: int
    invariants: tuple[Invariant, ...] = ()
    content: bytes | None = None


def export(model: keras.Model, settings: ExportSettings, bench: Workbench) -> bytes:
    """The model as a .tflite file, calibrated on training examples that the settings' seed chooses."""
    calibration = None
    if settings.calibration_examples:
        count = min(settings.calibration_examples, len(bench.train))
        chosen = np.random.default_rng(settings.seed).permutation(len(bench.train))[:count]
        chosen.sort()
        x = bench.train.x
        calibration = (
            {name: np.asarray(value)[chosen] for name, value in x.items()}
            if isinstance(x, dict)
            else np.asarray(x)[chosen]
        )
    return to_litert(model, settings, calibration)


def _run_step(
    state: _State,
    step: PlannedStep,
    bench: Workbench,
    place: Path,
    chain: str,
    resolve: Resolve,
    reference_path: Path,
) -> None:
    name = step.technique.name
    marker = place / "fingerprint.txt"
    if place.exists() and not (marker.is_file() and marker.read_text() == chain):
        shutil.rmtree(place)  # left by another recipe, data or version
    place.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(marker, chain.encode())
    bench.reporter.line(f"step {step.number}: {name}")
    started = time.monotonic()
    seed = seed_everything(bench.seed, "step", step.number, name)
    # A copy of its own, from the disk: the reference stays as it is, and every step starts as after a resume.
    model = checkpoint.load_model(state.path)
    trainer = bench.trainer(seed, place, f"{step.number:02d}-{name}", state.invariants)
    context = StepContext(
        model=model,
        train=bench.train,
        validation=bench.validation,
        splits_extra=bench.extra,
        task=bench.task,
        labels=bench.labels,
        metric=bench.metric,
        seed=seed,
        folder=place,
        invariants=state.invariants,
        fit=trainer.fit,
        evaluate=bench.evaluate,
        teacher=bench.teacher,
        progress=bench.reporter.line,
        reference=lambda: checkpoint.load_model(reference_path),
        augmented=bench.augment is not None,
    )
    outcome = applied(step, context, resolve)
    _check_step(state, step, outcome)
    settings = outcome.export or state.export
    content = export(outcome.model, settings, bench)
    _check_file(state, step, outcome, content)
    outcome = replace(outcome, layers=(*outcome.layers, *_promises_that_changed(state, outcome)))
    decided = outcome.export is not None or state.export != ExportSettings()
    validation = bench.evaluate_file(content) if decided else bench.evaluate(outcome.model)
    write_step(place, chain, step, outcome, content, validation, time.monotonic() - started)


def _promises_after(state: _State, outcome: StepOutcome) -> tuple[Invariant, ...]:
    """Earlier promises, about the smaller model where the step removed channels, and the step's own."""
    earlier = state.invariants
    if outcome.kept:
        earlier = tuple(invariant.resized(outcome.kept) for invariant in earlier)
    return (*earlier, *outcome.invariants)


def _promises_that_changed(state: _State, outcome: StepOutcome) -> list[LayerChange]:
    """What became of earlier promises where the step removed channels, for the report."""
    before = [invariant.summary for invariant in state.invariants]
    after = [invariant.summary for invariant in _promises_after(state, outcome)]
    return [
        LayerChange(layer="an earlier promise", change=f"is now: {new}")
        for old, new in zip(before, after, strict=False)
        if new != old
    ]


def _check_step(state: _State, step: PlannedStep, outcome: StepOutcome) -> None:
    invariants = _promises_after(state, outcome)
    broken = check_promises(invariants, lambda invariant: invariant.check(outcome.model))
    if broken:
        raise _broken(f"step {step.number}, '{step.technique.name}',", broken)


def _check_file(state: _State, step: PlannedStep, outcome: StepOutcome, content: bytes) -> None:
    invariants = _promises_after(state, outcome)
    broken = check_promises(invariants, lambda invariant: invariant.check_file(content))
    if broken:
        raise _broken(f"the file after step {step.number}, '{step.technique.name}',", broken)
    # In the same form a file may grow by bytes: an untrained bias of zeros is left out.
    if outcome.export not in (None, state.export):
        check_growth(step, state.model, outcome.export.mode, state.flash_bytes, len(content))


def check_promises(invariants: Sequence[Invariant], check: Callable[[Invariant], Sequence[Violation]]) -> list[str]:
    """Broken promises, a line each."""
    broken = []
    for invariant in invariants:
        kind = f"{type(invariant).__module__}:{type(invariant).__qualname__}"
        with as_plugin_error("a promise could not be checked", kind):
            broken += [f"{invariant.summary}: {each.layer}: {each.detail}" for each in check(invariant)]
    return broken


def _broken(who: str, broken: Sequence[str]) -> CheckFailedError:
    return CheckFailedError(
        f"{who} breaks a promise of an earlier step",
        why="; ".join(broken),
        hint="change the order of the steps, or leave one of the two out",
    )
