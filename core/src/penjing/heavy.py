"""Start TensorFlow: once, quietly, and with a clear word where it is missing."""

from __future__ import annotations

import os
import sys

from penjing.errors import MissingExtraError
from penjing.quiet import caught_output


def import_tensorflow() -> None:
    """Import TensorFlow and Keras without their start-up notes on stderr.

    Raises:
        MissingExtraError: They are not installed.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    failure: ImportError | None = None
    with caught_output():
        try:
            import keras  # noqa: F401  (imports TensorFlow as its backend)
            import tensorflow  # noqa: F401
        except ImportError as error:
            failure = error
    if failure is not None:
        raise MissingExtraError(
            "training and compression need TensorFlow",
            why=str(failure),
            hint="pip install 'penjing[compress]'",
        ) from failure
