"""Checks of a plugin that watches runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

from penjing.contract import Evaluation, OutcomeInfo, RunInfo, StepInfo
from penjing.host import PluginHost
from penjing.testing.arrays import digest
from penjing.testing.checks import ConformanceError, NotApplicableError
from penjing.testing.plugin_subject import HasPlugin
from penjing.testing.toy_task import toy_model, toy_splits

_STEP = StepInfo(number=1, technique="quantize", settings={"mode": "int8"}, plugin="penjing 0.1.0")
_OUTCOME = OutcomeInfo(
    summary="int8 after training", metric="accuracy", value=0.9, flash_bytes=8_192, seconds=1.5, resumed=False
)
_FIGURES = {
    "metrics": {"accuracy": 0.9},
    "intervals": {"accuracy": {"estimate": 0.9, "low": 0.85, "high": 0.95}},
    "flash_bytes": 8_192,
    "macs": 100_000,
    "params": 2_000,
    "latency_us": {"p50": 50.0, "p99": 60.0, "threads": 1, "runtime": "XNNPACK"},
}
METRICS = {
    "domain": "toy",
    "seed": 0,
    "primary_metric": "accuracy",
    "directions": {"accuracy": "higher"},
    "data": {"source": "a toy task", "sha256": "0" * 64, "synthetic": True, "train": 10, "validation": 10, "test": 10},
    "baselines": [],
    "reference": _FIGURES,
    "compressed": {**_FIGURES, "arena_bytes": 4_096, "zip_bytes": 4_000},
    "difference": {"accuracy": {"estimate": 0.0, "low": -0.01, "high": 0.01}},
    "budget": [{"limit": "flash_bytes", "value": 10_000.0, "measured": 8_192.0, "holds": True, "note": ""}],
    "recipe": {"name": "default", "chosen_by": "the caller", "steps": ["quantize"]},
}
"""The main entries of a small run's metrics.json."""


def check_observer_sees_a_run_through(subject: HasPlugin) -> None:
    """Told of a run, its steps and its end, the observer raises nothing, and changes nothing of what it is given.

    What an observer raises is logged and stops no run, so nobody sees it unless it is tried. Write below run.folder, or
    where the user says.
    """
    plugin = subject.plugin
    host = PluginHost.discover(log_problems=False)
    (status,) = [status for status in host.plugins if status.source == plugin.entry.source]
    if not status.contributes.get("observers"):
        raise NotApplicableError("the plugin observes nothing")
    known = len(host.problems)
    before = digest(METRICS)
    with tempfile.TemporaryDirectory(prefix="penjing-check-") as folder:
        run = RunInfo(
            domain="toy",
            folder=Path(folder),
            seed=0,
            recipe="default",
            steps=("quantize",),
            data_source="a toy task",
        )
        host.notify("penjing_before_step", run=run, step=_STEP)
        host.notify("penjing_after_step", run=run, step=_STEP, outcome=_OUTCOME)
        finished = RunInfo(**{**vars(run), "state": "finished", "metrics": METRICS})
        if "penjing_report_sections" in status.contributes["observers"]:
            host.report_sections(finished, _evaluation())
        host.notify("penjing_run_finished", run=finished)
    if digest(METRICS) != before:
        raise ConformanceError("run.metrics is another after it was told of the end")
    problems = [problem for problem in host.problems[known:] if problem.source == plugin.entry.source]
    if problems:
        raise ConformanceError("\n".join(f"stage {problem.stage}: {problem.reason}" for problem in problems))


def _evaluation() -> Evaluation:
    """What a report section sees, of an untrained model."""
    from penjing.heavy import import_tensorflow

    import_tensorflow()
    model, splits = toy_model(), toy_splits()
    predict = {name: lambda x: model.predict(x, verbose=0) for name in ("reference", "compressed")}
    outputs = {name: function(splits.test.x) for name, function in predict.items()}
    return Evaluation(splits=splits, outputs=outputs, predict=predict, reference=model, content=b"")
