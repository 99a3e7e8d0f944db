"""What the plugin contributes. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from penjing import hookimpl
from penjing.contract import Domain, Evaluation, HealthCheck, Metric, PredictOption, ReportSection, RunInfo, Technique
from penjing_medical_imaging import DOMAIN, NOT_CLINICAL

_PACKAGE = "penjing_medical_imaging"

MEDICAL_IMAGING = Domain(
    name=DOMAIN,
    summary="Small classifiers of medical images, with a heat map and abstention. Not for clinical use.",
    task="binary",
    load_data=f"{_PACKAGE}.data:load_data",
    build_model=f"{_PACKAGE}.models:build_model",
    build_teacher=f"{_PACKAGE}.models:build_teacher",
    baselines=(f"{_PACKAGE}.baselines:fit_logistic", f"{_PACKAGE}.baselines:fit_forest"),
    augment=f"{_PACKAGE}.augmentation:augment",
    metrics=(
        Metric(
            name="auc",
            function=f"{_PACKAGE}.metrics:auc",
            direction="higher",
            primary=True,
            summary="area under the ROC curve; the mean over classes, each against the rest, or over labels",
        ),
        Metric(
            name="accuracy",
            function=f"{_PACKAGE}.metrics:accuracy",
            direction="higher",
            summary="share of right decisions at 0.5, or by the likeliest class",
        ),
        Metric(
            name="balanced_accuracy",
            function=f"{_PACKAGE}.metrics:balanced_accuracy",
            direction="higher",
            summary="mean share of each class that is recognised",
        ),
        Metric(
            name="auc_delong",
            function=f"{_PACKAGE}.metrics:auc_delong",
            direction="higher",
            summary="area of the finding, of each class or label, with DeLong's interval",
        ),
        Metric(
            name="operating_point",
            function=f"{_PACKAGE}.operating_point:operating_point",
            direction="higher",
            kind="system",
            summary="at the threshold of the validation part: sensitivity, specificity, predictive values",
        ),
        Metric(
            name="grades",
            function=f"{_PACKAGE}.operating_point:ordinal_agreement",
            direction="higher",
            kind="system",
            summary="agreement of ordered grades",
        ),
        Metric(
            name="calibration",
            function=f"{_PACKAGE}.metrics:calibration",
            direction="lower",
            summary="how far probabilities are from what happened",
        ),
        Metric(
            name="abstention",
            function=f"{_PACKAGE}.unfamiliar:abstention",
            direction="higher",
            kind="system",
            summary="how well images that are none of the set's are flagged",
        ),
    ),
    recipes={
        "default": f"{_PACKAGE}:recipes/default.toml",
        "quick": f"{_PACKAGE}:recipes/quick.toml",
        "smallest": f"{_PACKAGE}:recipes/smallest.toml",
        "accurate": f"{_PACKAGE}:recipes/accurate.toml",
    },
    budget={"flash": "24KB", "drop": "0.02"},
    split_by="patient",
    slices=("brightness",),
    preprocess=f"{_PACKAGE}.inputs:preprocess",
    predict=f"{_PACKAGE}.predict:predict",
    predict_example=f"{_PACKAGE}.example_images:write_examples",
    predict_options=(
        PredictOption(flag="--explain", help="draw a heat map of the decision over the image, as PNG"),
        PredictOption(flag="--heat-maps", help="folder of the heat maps", kind="path", default="."),
        PredictOption(
            flag="--prevalence", help="share of ill people, for the positive predictive value", kind="number"
        ),
    ),
    data_license="MedMNIST: CC BY 4.0 (DermaMNIST: CC BY-NC 4.0), Yang et al. 2023. The built-in sample is generated.",
    intended_use=NOT_CLINICAL,
)


@hookimpl
def penjing_domains() -> Iterable[Domain]:
    yield MEDICAL_IMAGING


@hookimpl
def penjing_techniques() -> Iterable[Technique]:
    yield Technique(
        name="center-threshold",
        summary="The threshold that validation chooses becomes 0.5, by the last layer's bias.",
        settings=f"{_PACKAGE}.centering:CenterThresholdSettings",
        apply=f"{_PACKAGE}.centering:apply",
        explain=f"{_PACKAGE}.centering:explain",
    )


@hookimpl
def penjing_report_sections(run: RunInfo, evaluation: Evaluation) -> Iterable[ReportSection]:
    if run.domain == DOMAIN:
        from penjing_medical_imaging.report_sections import sections

        yield from sections(run, evaluation)


@hookimpl
def penjing_health_checks() -> Iterable[HealthCheck]:
    yield HealthCheck(name="DICOM", check=f"{_PACKAGE}.health:dicom_decoders")
