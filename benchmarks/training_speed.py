"""An epoch of the engine's training loop against plain Keras `fit` on the same model: float, pruning, distilling.

python benchmarks/training_speed.py
"""

from __future__ import annotations

import statistics
import time

from penjing.heavy import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from epoch_timing import seconds_an_epoch  # noqa: E402

from penjing.compression.distillation.distiller import Distiller, TeacherSignals, Term, signal_arrays  # noqa: E402
from penjing.compression.distillation.output_losses import OutputLoss  # noqa: E402
from penjing.compression.model_tree import weight_matrices  # noqa: E402
from penjing.compression.pruning.sparsity_mask import hold_mask  # noqa: E402
from penjing.compression.pruning.weights import smallest_masked  # noqa: E402
from penjing.compression.settings.distillation import OutputLossSettings  # noqa: E402
from penjing.contract import Split  # noqa: E402

EXAMPLES, EPOCHS = 2000, 4


def network(filters: int) -> keras.Model:
    """A DS-CNN on 49 x 40 features."""
    layers = keras.layers
    inputs = keras.Input((49, 40, 1))
    x = layers.Conv2D(filters, (10, 4), strides=2, padding="same", use_bias=False)(inputs)
    for _ in range(4):
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(filters, 1, use_bias=False)(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    return keras.Model(inputs, layers.Dense(12, activation="softmax")(x))


def main() -> None:
    """Measure and print."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(EXAMPLES, 49, 40, 1)).astype("float32")
    y = generator.integers(0, 12, EXAMPLES)
    one_hot = np.eye(12, dtype="float32")[y]

    plain = network(48)
    plain.compile(keras.optimizers.AdamW(1e-3), "categorical_crossentropy", jit_compile=False)
    times = []
    for _ in range(EPOCHS):
        began = time.perf_counter()
        plain.fit(x, one_hot, batch_size=64, verbose=0)
        times.append(time.perf_counter() - began)
    base = statistics.median(times[1:])
    print(f"plain Keras fit: {base:.2f} s an epoch of {EXAMPLES:,} examples")

    def ours(label: str, prune: bool = False, teacher: keras.Model | None = None, cached: bool = False) -> None:
        model = network(48)
        split = Split(x=x, y=y, ids=[str(i) for i in range(EXAMPLES)])
        masks = {}
        if prune:
            variables = weight_matrices(model)
            masks = {
                path: keras.Variable(np.ones(v.shape, "float32"), trainable=False) for path, v in variables.items()
            }
            for path, variable in variables.items():
                hold_mask(variable, masks[path])

        def on_update(done: int, updates: int) -> None:
            if prune and done % 20 == 0:
                weights = {path: np.asarray(v) for path, v in weight_matrices(model).items()}
                for path, mask in smallest_masked(weights, 0.8 * done / updates, "global").items():
                    masks[path].assign(mask.astype("float32"))

        loss = OutputLoss("classification", OutputLossSettings(), 2.0, "softmax", "softmax")
        terms = [Term(name="outputs", weight=1.0, loss=loss)]
        beside = TeacherSignals(teacher, terms) if teacher is not None else None
        signals = None
        if beside is not None and cached:
            began = time.perf_counter()
            signals = signal_arrays(beside, x)
            print(f"the teacher's outputs, once: {time.perf_counter() - began:.2f} s")

        def wrap(student: keras.Model, student_loss):
            return Distiller(student, student_loss, terms, 0.5, None if cached else beside), student_loss

        seconds = seconds_an_epoch(
            model, split, EPOCHS, wrap=wrap if teacher is not None else None, on_update=on_update, signals=signals
        )
        print(f"{label}: {seconds:.2f} s an epoch, {seconds / base:.2f} times plain Keras")

    ours("engine, float")
    ours("engine, pruning", prune=True)
    bigger = network(96)  # four times the parameters
    ours("engine, distilling from a bigger network on augmented inputs", teacher=bigger)
    ours("engine, distilling from a bigger network on inputs that stay the same", teacher=bigger, cached=True)


if __name__ == "__main__":
    main()
