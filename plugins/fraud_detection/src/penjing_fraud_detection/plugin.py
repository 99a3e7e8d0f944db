"""What the plugin contributes. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from penjing import hookimpl
from penjing.contract import Domain, Metric, PredictOption, ReportSection, RunInfo
from penjing_fraud_detection import DOMAIN

_PACKAGE = "penjing_fraud_detection"

FRAUD_DETECTION = Domain(
    name=DOMAIN,
    summary="Card transactions scored as they come, on their history up to that moment.",
    task="binary",
    decision_threshold=0.0,
    load_data=f"{_PACKAGE}.data:load_data",
    build_model=f"{_PACKAGE}.models:build_model",
    build_teacher=f"{_PACKAGE}.models:build_teacher",
    baselines=(f"{_PACKAGE}.baseline:fit_baseline", f"{_PACKAGE}.baseline:fit_boosting"),
    metrics=(
        Metric(
            name="average_precision",
            function=f"{_PACKAGE}.metrics:average_precision",
            direction="higher",
            primary=True,
            summary="mean precision over the frauds, each at its own score",
        ),
        Metric(
            name="auc",
            function=f"{_PACKAGE}.metrics:auc",
            direction="higher",
            summary="chance that a fraud scores higher than another transaction",
        ),
        Metric(
            name="card_precision_at_100",
            function=f"{_PACKAGE}.alert_metrics:card_precision",
            direction="higher",
            kind="system",
            summary="share of the 100 alerted cards a day that were defrauded, mean over days",
        ),
        Metric(
            name="at_100_alerts",
            function=f"{_PACKAGE}.alert_metrics:at_budget",
            direction="higher",
            kind="system",
            summary="what 100 alerts a day find: cards, transactions, money",
        ),
        Metric(
            name="recall_at_100_alerts",
            function=f"{_PACKAGE}.alert_metrics:recall_by_kind",
            direction="higher",
            kind="system",
            summary="share of the frauds of each kind whose card is alerted that day",
        ),
        Metric(
            name="calibration",
            function=f"{_PACKAGE}.metrics:calibration",
            direction="lower",
            summary="how far probabilities are from what happened",
        ),
        Metric(
            name="precision_at_recall",
            function=f"{_PACKAGE}.alert_metrics:precision_at_recall",
            direction="higher",
            summary="share of true alerts when so many of the frauds are found",
        ),
        Metric(
            name="by_day",
            function=f"{_PACKAGE}.alert_metrics:by_day",
            direction="higher",
            kind="system",
            summary="each day of the test",
        ),
    ),
    recipes={
        "default": f"{_PACKAGE}:recipes/default.toml",
        "quick": f"{_PACKAGE}:recipes/quick.toml",
        "smallest": f"{_PACKAGE}:recipes/smallest.toml",
        "accurate": f"{_PACKAGE}:recipes/accurate.toml",
    },
    budget={"flash": "8KB", "drop": "0.02"},
    split_by="time",
    slices=("amount", "time of day", "card"),
    preprocess=f"{_PACKAGE}.inputs:preprocess",
    predict=f"{_PACKAGE}.predict:predict",
    predict_example=f"{_PACKAGE}.examples:write_examples",
    predict_options=(
        PredictOption(flag="--alerts", help="how many cards a day can be looked at", kind="integer", default=100),
        PredictOption(flag="--threshold", help="lower probabilities give no alert", kind="number", default=0.0),
        PredictOption(flag="--alerts-only", help="leave out what is no alert"),
        PredictOption(flag="--reasons", help="how many reasons to give for an alert", kind="integer", default=3),
        PredictOption(
            flag="--state", help="folder of an online state: go on from its history, and keep it there", kind="path"
        ),
    ),
    data_license="The Handbook's simulated transactions state no licence. The built-in sample is generated.",
    intended_use="To order transactions for a person to look at; not to refuse a payment by itself.",
)


@hookimpl
def penjing_domains() -> Iterable[Domain]:
    yield FRAUD_DETECTION


@hookimpl
def penjing_report_sections(run: RunInfo) -> Iterable[ReportSection]:
    if run.domain == FRAUD_DETECTION.name:
        from penjing_fraud_detection.plots import report_section

        yield report_section(run.metrics)
