"""What the plugin contributes. Imports nothing heavy: code is named here, and imported when it is needed."""

from __future__ import annotations

from collections.abc import Iterable

from penjing import hookimpl
from penjing.contract import Domain, Metric

from penjing_image_classification import DOMAIN

_PACKAGE = "penjing_image_classification"


@hookimpl
def penjing_domains() -> Iterable[Domain]:
    yield Domain(
        name=DOMAIN,
        summary="Small colour or grey images: which of a few things is on them.",
        task="classification",
        load_data=f"{_PACKAGE}.data:load_data",
        build_model=f"{_PACKAGE}.models:build_model",
        build_teacher=f"{_PACKAGE}.models:build_teacher",
        augment=f"{_PACKAGE}.augmentation:augment",
        baselines=(f"{_PACKAGE}.models:fit_baseline",),
        metrics=(
            Metric(
                name="accuracy",
                function=f"{_PACKAGE}.metrics:accuracy",
                direction="higher",
                primary=True,
                summary="share of images with the right class",
            ),
            Metric(
                name="recall",
                function=f"{_PACKAGE}.metrics:recall_per_class",
                direction="higher",
                summary="share of each class that is recognised",
            ),
        ),
        recipes={
            "default": f"{_PACKAGE}:recipes/default.toml",
            "smallest": f"{_PACKAGE}:recipes/smallest.toml",
        },
        budget={"flash": "96KB", "drop": "0.02"},
        slices=("class",),
        preprocess=f"{_PACKAGE}.images:preprocess",
        predict=f"{_PACKAGE}.predict:predict",
        predict_example=f"{_PACKAGE}.data:write_examples",
        data_license="The built-in sample is generated. CIFAR-10 states none.",
        intended_use="An example to learn from: small images of things. Not for the safety of people.",
    )
