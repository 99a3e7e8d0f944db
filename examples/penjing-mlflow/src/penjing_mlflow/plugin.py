"""What the plugin watches. MLflow is imported when the first step of a run has ended, not for help."""

from __future__ import annotations

from penjing import hookimpl
from penjing.contract import OutcomeInfo, RunInfo, StepInfo


@hookimpl
def penjing_after_step(run: RunInfo, step: StepInfo, outcome: OutcomeInfo) -> None:
    from penjing_mlflow.recorder import record_step

    record_step(run, step, outcome)


@hookimpl
def penjing_run_finished(run: RunInfo) -> None:
    from penjing_mlflow.recorder import record_end

    record_end(run)
