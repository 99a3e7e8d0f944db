"""What the plugin contributes. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from penjing import hookimpl
from penjing.contract import Domain, Evaluation, Metric, PredictOption, ReportSection, RunInfo
from penjing_recommendation import DOMAIN

_PACKAGE = "penjing_recommendation"

RECOMMENDATION = Domain(
    name=DOMAIN,
    summary="What comes next after the recent history: no user table, the list of the best inside the graph.",
    task="ranking",
    load_data=f"{_PACKAGE}.data:load_data",
    build_model=f"{_PACKAGE}.models:build_model",
    baselines=(
        f"{_PACKAGE}.baselines:fit_popularity",
        f"{_PACKAGE}.baselines:fit_item_knn",
        f"{_PACKAGE}.baselines:fit_ease",
        f"{_PACKAGE}.baselines:fit_als",
    ),
    augment=f"{_PACKAGE}.models:epoch_of_histories",
    loss=f"{_PACKAGE}.models:next_item_loss",
    metrics=(
        Metric(
            name="ndcg_at_10",
            function=f"{_PACKAGE}.metrics:ndcg",
            direction="higher",
            primary=True,
            summary="discounted gain of the right item among the first ten, full ranking; the data names the protocol",
        ),
        Metric(
            name="hit_rate_at_10",
            function=f"{_PACKAGE}.metrics:hit_rate",
            direction="higher",
            summary="share of examples whose right item is among the first ten, full ranking",
        ),
        Metric(
            name="mrr_at_100",
            function=f"{_PACKAGE}.metrics:reciprocal_rank",
            direction="higher",
            summary="mean reciprocal rank of the right item among the first hundred, full ranking",
        ),
        Metric(
            name="protocol",
            function=f"{_PACKAGE}.beyond_accuracy:by_protocol",
            direction="higher",
            kind="system",
            summary="the same figures under the name of their protocol",
        ),
        Metric(
            name="beyond_accuracy",
            function=f"{_PACKAGE}.beyond_accuracy:beyond_accuracy",
            direction="higher",
            kind="system",
            summary="coverage, novelty and popularity of the first ten; cold items and users",
        ),
        Metric(
            name="hit_rate_by_popularity",
            function=f"{_PACKAGE}.beyond_accuracy:hit_rate_by_popularity",
            direction="higher",
            kind="system",
            summary="hit rate at ten by the popularity of the right item, in tenths of the catalogue",
        ),
        Metric(
            name="recency_curve",
            function=f"{_PACKAGE}.beyond_accuracy:recency_curve",
            direction="higher",
            kind="system",
            summary="NDCG at ten when only the newest items are seen",
        ),
    ),
    recipes={
        "default": f"{_PACKAGE}:recipes/default.toml",
        "quick": f"{_PACKAGE}:recipes/quick.toml",
        "smallest": f"{_PACKAGE}:recipes/smallest.toml",
        "accurate": f"{_PACKAGE}:recipes/accurate.toml",
        "quotient-remainder": f"{_PACKAGE}:recipes/quotient-remainder.toml",
    },
    budget={"drop": "0.002"},
    split_by="time",
    slices=("popularity of the target", "history"),
    predict=f"{_PACKAGE}.predict:predict",
    predict_example=f"{_PACKAGE}.example_history:write_example",
    predict_options=(
        PredictOption(
            flag="--history",
            help="what was taken, the newest last: item ids of the data, 1,50,260; or a file of them, one a line",
            kind="text",
        ),
        PredictOption(flag="-k", help="how many recommendations", kind="integer", default=10),
        PredictOption(flag="--reasons", help="how many items of the history to name", kind="integer", default=3),
    ),
    data_license="MovieLens may be used, not commercially, and not shipped. The built-in sample is generated.",
    intended_use="To offer items to choose from; figures are of people who chose to rate, and favour what is popular.",
)


@hookimpl
def penjing_domains() -> Iterable[Domain]:
    yield RECOMMENDATION


@hookimpl
def penjing_report_sections(run: RunInfo, evaluation: Evaluation) -> Iterable[ReportSection]:
    if run.domain == RECOMMENDATION.name:
        from penjing_recommendation.plots import report_section

        yield report_section(run.metrics, evaluation)
