"""What the plugin contributes. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from penjing import hookimpl
from penjing.contract import Domain, Evaluation, Metric, PredictOption, ReportSection, RunInfo
from penjing_traffic_forecasting import DOMAIN

_PACKAGE = "penjing_traffic_forecasting"
_ERRORS = {"rmse": "root mean squared error", "mae": "mean absolute error", "mape": "mean absolute percentage error"}


def _error_metrics() -> Iterable[Metric]:
    for name, words in _ERRORS.items():
        unit = "%" if name == "mape" else ""
        yield Metric(
            name=name,
            function=f"{_PACKAGE}.metrics:{name}",
            direction="lower",
            primary=name == "rmse",
            unit=unit,
            summary=f"{words} over all steps ahead, known targets alone",
        )
    for name, words in _ERRORS.items():
        unit = "%" if name == "mape" else ""
        yield Metric(
            name=f"{name}_at",
            function=f"{_PACKAGE}.metrics:{name}_at",
            direction="lower",
            unit=unit,
            summary=f"{words} of one step ahead alone",
        )
        yield Metric(
            name=f"{name}_up_to",
            function=f"{_PACKAGE}.metrics:{name}_up_to",
            direction="lower",
            unit=unit,
            summary=f"{words} of all steps up to one together, as T-GCN publishes it",
        )


TRAFFIC_FORECASTING = Domain(
    name=DOMAIN,
    summary="The next hour of every sensor of a road network, with its uncertainty.",
    task="forecast",
    load_data=f"{_PACKAGE}.data:load_data",
    build_model=f"{_PACKAGE}.models:build_model",
    build_teacher=f"{_PACKAGE}.models:build_teacher",
    baselines=tuple(
        f"{_PACKAGE}.baselines:{name}" for name in ("fit_last_value", "fit_time_of_day", "fit_last_week", "fit_ridge")
    ),
    augment=f"{_PACKAGE}.augmentation:augment",
    loss=f"{_PACKAGE}.loss:forecast_loss",
    metrics=(
        *_error_metrics(),
        Metric(
            name="band_coverage",
            function=f"{_PACKAGE}.metrics:band_coverage",
            direction="higher",
            summary="share of the targets between the 10 % and the 90 % quantile; honest is 0.8",
        ),
        Metric(
            name="band_width",
            function=f"{_PACKAGE}.metrics:band_width",
            direction="lower",
            summary="mean distance of the 10 % and the 90 % quantile",
        ),
        Metric(
            name="pinball",
            function=f"{_PACKAGE}.metrics:pinball",
            direction="lower",
            summary="pinball loss, mean of the three quantiles",
        ),
        Metric(
            name="quantile_coverage",
            function=f"{_PACKAGE}.metrics:quantile_coverage",
            direction="higher",
            summary="share of the targets that are not above each quantile",
        ),
        Metric(
            name="congested_hours",
            function=f"{_PACKAGE}.system_metrics:congested_hours",
            direction="lower",
            kind="system",
            summary="every error over the hours in which a sensor is usually congested",
        ),
        Metric(
            name="rmse_by_hour",
            function=f"{_PACKAGE}.system_metrics:rmse_by_hour",
            direction="lower",
            kind="system",
            summary="root mean squared error by the hour of the day",
        ),
    ),
    recipes={
        "default": f"{_PACKAGE}:recipes/default.toml",
        "quick": f"{_PACKAGE}:recipes/quick.toml",
        "smallest": f"{_PACKAGE}:recipes/smallest.toml",
        "accurate": f"{_PACKAGE}:recipes/accurate.toml",
    },
    budget={"flash": "64KB"},
    split_by="time",
    slices=("time of day", "kind of day", "congestion"),
    preprocess=f"{_PACKAGE}.inputs:preprocess",
    predict=f"{_PACKAGE}.predict:predict",
    predict_example=f"{_PACKAGE}.example_rows:write_example",
    predict_options=(
        PredictOption(flag="--at", help="forecast from this time on, not from the last row", kind="text"),
        PredictOption(flag="--sensors", help="only these, with commas between them", kind="text"),
        PredictOption(flag="--all-steps", help="every step ahead, not four of them"),
        PredictOption(flag="--plot", help="write a picture of the forecasts here (.png or .svg)", kind="path"),
    ),
    data_license="Los-loop and METR-LA state none. The built-in sample is generated.",
    intended_use="To inform about the traffic to come; not to control signals or vehicles by itself.",
)


@hookimpl
def penjing_domains() -> Iterable[Domain]:
    yield TRAFFIC_FORECASTING


@hookimpl
def penjing_report_sections(run: RunInfo, evaluation: Evaluation) -> Iterable[ReportSection]:
    if run.domain == TRAFFIC_FORECASTING.name:
        from penjing_traffic_forecasting.report import report_section

        yield report_section(run.metrics, evaluation)
