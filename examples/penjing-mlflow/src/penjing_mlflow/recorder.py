"""Runs of penjing as runs of MLflow: one experiment a domain, one MLflow run a run folder, also when it is resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlflow.entities import RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from penjing.contract import OutcomeInfo, RunInfo, StepInfo

MARK = "mlflow.json"
"""In the run folder: which MLflow run it is."""

FIGURES = ("flash_bytes", "arena_bytes", "macs", "params", "zip_bytes")


def record_step(run: RunInfo, step: StepInfo, outcome: OutcomeInfo) -> None:
    """A step: its settings as parameters, its figures on the validation part as metrics, numbered like the steps."""
    client, number = _open(run)
    client.log_param(number, f"{step.number}", step.technique)
    for name, value in _flat(step.settings):
        client.log_param(number, f"{step.number}.{name}", value)
    figures = {f"validation_{outcome.metric}": outcome.value, "flash_bytes": float(outcome.flash_bytes)}
    for name, value in {**figures, **outcome.figures, "seconds": outcome.seconds}.items():
        client.log_metric(number, _name(f"step.{name}"), float(value), step=step.number)


def record_end(run: RunInfo) -> None:
    """The end: figures on the test part by model, and report, metrics.json and bundle as artefacts."""
    client, number = _open(run)
    for model in ("reference", "compressed"):
        entry = run.metrics[model]
        figures = {**entry["metrics"], **{name: entry.get(name) for name in FIGURES}}
        for name, interval in entry["intervals"].items():
            figures |= {f"{name}_low": interval["low"], f"{name}_high": interval["high"]}
        for name, value in figures.items():
            if value is not None:
                client.log_metric(number, _name(f"{model}.{name}"), float(value))
    for line in run.metrics["budget"]:
        client.set_tag(number, f"budget.{line['limit']}", "holds" if line["holds"] else "does not hold")
    for path in (run.folder / "report.html", run.folder / "metrics.json"):
        if path.is_file():
            client.log_artifact(number, str(path))
    if (run.folder / "bundle").is_dir():
        client.log_artifacts(number, str(run.folder / "bundle"), "bundle")
    client.set_terminated(number, RunStatus.to_string(RunStatus.FINISHED))


def _open(run: RunInfo) -> tuple[MlflowClient, str]:
    """The MLflow run of this run folder; made where there is none, or where the store does not know it."""
    client = MlflowClient()  # the store is MLFLOW_TRACKING_URI's
    mark = run.folder / MARK
    if mark.is_file():
        number = json.loads(mark.read_text(encoding="utf-8"))["run_id"]
        try:
            client.get_run(number)
            return client, number
        except MlflowException:
            pass  # another store than last time
    name = f"penjing/{run.domain}"
    experiment = client.get_experiment_by_name(name)
    number_of = experiment.experiment_id if experiment else client.create_experiment(name)
    made = client.create_run(
        number_of,
        run_name=f"{run.recipe}, seed {run.seed}",
        tags={"recipe": run.recipe, "data": run.data_source, "folder": str(run.folder)},
    )
    client.log_param(made.info.run_id, "seed", run.seed)
    client.log_param(made.info.run_id, "steps", " > ".join(run.steps))
    mark.write_text(json.dumps({"run_id": made.info.run_id}), encoding="utf-8")
    return client, made.info.run_id


def _flat(settings: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Settings with the tables inside them as 'teacher.epochs'."""
    rows: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{before}{name}.")
        else:
            rows.append((f"{before}{name}", value))
    return rows


def _name(text: str) -> str:
    """A name that MLflow takes: letters, digits, and '_', '-', '.', ' ', ':', '/'."""
    return "".join(character if character.isalnum() or character in "_-. :/" else "_" for character in text)
