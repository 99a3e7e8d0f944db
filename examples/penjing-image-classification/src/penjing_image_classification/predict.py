"""`penjing image-classification predict`: on the device, with numpy and Pillow alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penjing.contract import PredictRequest
from penjing.errors import UsageError

from penjing_image_classification.images import preprocess, read_image


def predict(request: PredictRequest) -> Iterator[dict[str, Any]]:
    """The class of each image file, and how probable it is.

    Raises:
        UsageError: No file is given.
        DataError: A file is no image.
    """
    if not request.inputs:
        raise UsageError("there is nothing to predict", hint="name one or more image files")
    parameters = request.bundle.preprocessing
    for name in request.inputs:
        image = read_image(Path(name), parameters["size"], len(parameters["mean"]))
        row = request.bundle.predict(preprocess(image[None], parameters))[0]
        best = int(row.argmax())
        yield {"file": name, "class": request.bundle.labels[best], "probability": round(float(row[best]), 4)}
