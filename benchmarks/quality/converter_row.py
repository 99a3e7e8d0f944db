"""TensorFlow's own converter on the float network, in tf_keras: float32, or int8 after training.

With the option 'weights' (a stage's folder) the network is what another tool has pruned: weights.npz of that folder,
which says the number of filters as well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import weights_exchange
from architectures import ARCHITECTURES
from job import Job

PACKAGES = ("tensorflow", "tf-keras")


def start() -> tuple[Any, Any]:
    """TensorFlow and tf_keras, as tensorflow-model-optimization needs them."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    import tf_keras

    return tf, tf_keras


def float_network(job: Job, tf_keras: Any) -> Any:
    """The float network in tf_keras, checked to be the same."""
    model = ARCHITECTURES[job.task](tf_keras)
    weights_exchange.into_model(model, weights_exchange.load(Path(job.reference) / "weights.npz"))
    x, expected = job.probe
    weights_exchange.check_outputs(expected, model.predict(x, verbose=0), "tf_keras")
    return model


def to_int8(tf: Any, model: Any, calibration: np.ndarray) -> bytes:
    """int8 throughout, as the converter's guide has it; inputs and outputs int8."""

    def examples() -> Iterator[list[np.ndarray]]:
        for index in range(len(calibration)):
            yield [calibration[index : index + 1]]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    content: bytes = converter.convert()
    return content


def main(job: Job) -> None:
    """Convert."""
    tf, tf_keras = start()
    pruned = job.options.get("weights")
    if pruned:
        layers = weights_exchange.load(Path(pruned) / "weights.npz")
        model = ARCHITECTURES[job.task](tf_keras, weights_exchange.widths(layers))
        weights_exchange.into_model(model, layers)
        with np.load(Path(pruned) / "outputs.npz") as archive:
            found = model.predict(job.probe[0], verbose=0)
            weights_exchange.check_outputs(archive["outputs"], found, "tf_keras")
    else:
        model = float_network(job, tf_keras)
    began = time.monotonic()
    if job.options["mode"] == "int8":
        content = to_int8(tf, model, job.calibration)
    else:
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    job.finish(content, time.monotonic() - began, PACKAGES)


if __name__ == "__main__":
    main(Job.from_command_line())
