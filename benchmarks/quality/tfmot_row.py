"""tensorflow-model-optimization: quantization-aware training, with or without pruning of weights before it."""

from __future__ import annotations

import time
from typing import Any

from converter_row import PACKAGES, float_network, start
from job import Job
from tasks import BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY


def train(tf_keras: Any, model: Any, job: Job, epochs: int, callbacks: tuple[Any, ...] = ()) -> None:
    """The settings that every library trains with."""
    updates = job.updates * epochs // job.epochs
    optimizer = tf_keras.optimizers.AdamW(
        tf_keras.optimizers.schedules.CosineDecay(LEARNING_RATE, updates), weight_decay=WEIGHT_DECAY
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer, "sparse_categorical_crossentropy")
    arrays = job.arrays
    model.fit(
        arrays["x_train"], arrays["y_train"], batch_size=BATCH_SIZE, epochs=epochs, verbose=0, callbacks=list(callbacks)
    )


def main(job: Job) -> None:
    """Train and convert."""
    tf, tf_keras = start()
    import tensorflow_model_optimization as tfmot

    tf_keras.utils.set_random_seed(job.seed)
    model = float_network(job, tf_keras)
    began = time.monotonic()
    quantization = tfmot.quantization.keras
    if job.options["prune"]:
        # Half of the epochs for each: pruning, then training that keeps the zeros (the guide's "PQAT").
        first = max(1, job.epochs // 2)
        last = max(1, job.epochs - first)
        # The schedule acts at multiples of the frequency only; its end must be one, or the goal is never reached.
        frequency = max(1, job.updates * first // job.epochs // 40)
        schedule = tfmot.sparsity.keras.PolynomialDecay(
            0.0, job.options["sparsity"], begin_step=0, end_step=28 * frequency, frequency=frequency
        )
        pruned = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
        train(tf_keras, pruned, job, first, (tfmot.sparsity.keras.UpdatePruningStep(),))
        model = tfmot.sparsity.keras.strip_pruning(pruned)
        annotated = quantization.quantize_annotate_model(model)
        scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
        aware = quantization.quantize_apply(annotated, scheme)
    else:
        last = job.epochs
        aware = quantization.quantize_model(model)
    train(tf_keras, aware, job, last)
    converter = tf.lite.TFLiteConverter.from_keras_model(aware)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    content = converter.convert()
    seconds = time.monotonic() - began
    kernels = [weight.numpy() for weight in aware.trainable_weights if "kernel" in weight.name]
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels) / sum(kernel.size for kernel in kernels)
    job.finish(content, seconds, (*PACKAGES, "tensorflow-model-optimization"), f"{zeros:.1%} of the weights are zero")


if __name__ == "__main__":
    main(Job.from_command_line())
