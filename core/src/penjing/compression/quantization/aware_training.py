"""The technique `quantize-aware-training`: train with the rounding that the file will have.

Weights are symmetric per channel on a narrow range, activations affine per tensor (16 bits: symmetric), as in Jacob et
al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only inference". In training
the rounding is simulated in float32 with straight-through gradients or learned steps (Esser et al. 2020); at inference
the layers compute with the integers of LiteRT's reference kernels, so that what is validated is what the file answers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from penjing.compression.growth import may_grow, steps_bytes
from penjing.compression.model_tree import check_patterns, check_traceable, walk_layers
from penjing.compression.quantization import post_training
from penjing.compression.quantization.attention import QuantizedAttention
from penjing.compression.quantization.bidirectional import QuantizedBidirectional
from penjing.compression.quantization.folding import QuantizedKernel
from penjing.compression.quantization.graph_walk import Simulation
from penjing.compression.quantization.ranges import Range, calibrating
from penjing.compression.quantization.rebuild import rebuild
from penjing.compression.quantization.recurrent import QuantizedRecurrent
from penjing.compression.settings.aware_training import QuantizeAwareTrainingSettings
from penjing.compression.settings.quantization import QuantizeSettings
from penjing.contract import ExportSettings, LayerChange, Preview, StepContext, StepOutcome
from penjing.errors import DataError, ModelError
from penjing.export.calibration import placeholder_calibration
from penjing.export.litert import to_litert
from penjing.export.trial import file_cost
from penjing.runtime import LiteRTModel

CALIBRATION_BATCH = 64


def apply(context: StepContext, settings: QuantizeAwareTrainingSettings) -> StepOutcome:
    """Rebuild the model with simulated quantization, set its ranges, train, and compare the file with the model."""
    before = context.evaluate(context.model)
    instead, why, _ = _instead(context.model, settings)
    if instead is not None:
        return _trained_then_quantized(context, settings, instead, why, before)
    model, changes = simulated(context.model, settings)
    calibrate(model, context.train.x, settings.calibration_examples, context.seed)
    untrained = context.evaluate(model)
    switches = [layer.frozen for layer in _parts(model) if hasattr(layer, "frozen")]

    def freeze() -> None:
        for switch in switches:
            switch.assign(1.0)

    def on_update(done: int, updates: int) -> None:
        # Set at every update past the share, since a resumed training may begin there.
        if done >= settings.freeze_after * updates and switches and float(switches[0]) < 0.5:
            freeze()

    history = context.fit(model, settings, on_update=on_update)
    freeze()  # what follows this step keeps ranges and statistics
    after = context.evaluate(model)
    export = ExportSettings(mode="aware")
    steps, kernels = file_differences(model, to_litert(model, export), context.validation.x)
    figures = {
        "validation_before": before,
        "validation_untrained": untrained,
        "validation_after": after,
        "compared_inputs": float(len(steps)),
        "equal_inputs": float(np.count_nonzero(steps == 0)),
        "largest_difference_steps": float(steps.max(initial=0.0)),
    }
    return StepOutcome(
        model=model,
        summary=(
            f"{settings.weight_bits}-bit weights, {settings.activation_bits}-bit activations, "
            f"{settings.ranges} ranges: validation {context.metric.name} {before:.4f} -> {after:.4f}; "
            f"the file ({kernels} kernels) equals the model on {int(figures['equal_inputs']):,} of {len(steps):,} "
            f"validation inputs, largest difference {figures['largest_difference_steps']:g} steps"
        ),
        layers=tuple(changes),
        figures=figures,
        history=history,
        export=export,
    )


def _instead(
    model: keras.Model, settings: QuantizeAwareTrainingSettings
) -> tuple[QuantizeSettings | None, str, Preview | None]:
    """How a model is quantized after training where `otherwise` says so, and why; None where it need not be. And the
    preview of aware training, where it was made to know."""
    if settings.otherwise is None:
        return None, "", None
    _check(model, settings)
    other = QuantizeSettings(otherwise="weight-only-int8")
    floats = file_cost(model, ExportSettings()).flash_bytes if may_grow(model) else 0
    least = steps_bytes(model, fused=False)
    if floats and least > 2 * floats:
        return other, f"written out it would take {floats:,} -> at least {least:,} B", None
    try:
        planned = _previewed(model, settings)
    except ModelError as error:
        return other, f"{error.what} ({error.where})" if error.where else error.what, None
    ours = file_cost(planned.model, ExportSettings(mode="aware")).flash_bytes if floats else 0
    if ours > floats:
        return other, f"written out it would take {floats:,} -> {ours:,} B", None
    return None, "", planned


def _trained_then_quantized(
    context: StepContext,
    settings: QuantizeAwareTrainingSettings,
    instead: QuantizeSettings,
    why: str,
    before: float,
) -> StepOutcome:
    """The training without its rounding, and the file's form decided as by `quantize`."""
    history = context.fit(context.model, settings)
    after = context.evaluate(context.model)
    outcome = post_training.apply(context, instead)
    return replace(
        outcome,
        summary=f"trained in float32 ({why}): validation {context.metric.name} {before:.4f} -> {after:.4f}; "
        f"then {outcome.summary}",
        figures={**outcome.figures, "validation_before": before, "validation_after": after},
        history=history,
    )


def simulated(model: keras.Model, settings: QuantizeAwareTrainingSettings) -> tuple[keras.Model, list[LayerChange]]:
    """The model with simulated quantization, ranges not set yet, and what became of each layer.

    Raises:
        ModelError: The model simulates quantization already, a pattern fits no layer, or a layer has no integer form.
    """
    _check(model, settings)
    made, changes = rebuild(
        model,
        Simulation(
            weight_bits=settings.weight_bits,
            activation_bits=settings.activation_bits,
            ranges=settings.ranges,
            momentum=settings.momentum,
            batch_statistics=settings.freeze_after > 0,
            observes=settings.freeze_after > 0,
            exclude=settings.exclude,
            keep_8_bits=settings.keep_8_bits,
        ),
    )
    if not any(isinstance(layer, QuantizedKernel) for layer in _parts(made)):
        raise ModelError(
            "no layer of the model is quantized",
            why="it has no Dense or convolution, or 'exclude' fits all of them",
            hint="check 'exclude', or leave the step out",
        )
    return made, changes


def _check(model: keras.Model, settings: QuantizeAwareTrainingSettings) -> None:
    check_traceable(model)
    check_patterns(model, settings.exclude, "exclude")
    check_patterns(model, settings.keep_8_bits, "keep_8_bits")
    for path, layer in walk_layers(model):
        if isinstance(layer, (QuantizedKernel, QuantizedRecurrent, QuantizedBidirectional, QuantizedAttention, Range)):
            raise ModelError(
                "the model simulates quantization already",
                where=f"layer '{path}'",
                hint="train it further with the step 'finetune' or 'distill'",
            )


def calibrate(model: keras.Model, x: Any, examples: int, seed: int) -> None:
    """Set the first ranges: the mean, over batches, of the smallest and the largest value; and learned steps.

    Args:
        x: Inputs as `Split.x` has them; some are chosen by the seed.

    Raises:
        DataError: There are none.
    """
    count = len(next(iter(x.values())) if isinstance(x, dict) else x)
    if count == 0:
        raise DataError("there are no training examples to set ranges with", hint="give x_train")
    chosen = np.random.default_rng(seed).permutation(count)[:examples]
    batches = np.array_split(chosen, -(-len(chosen) // CALIBRATION_BATCH))
    for number, rows in enumerate(batches, start=1):
        rows = np.sort(rows)
        batch = {n: np.asarray(v)[rows] for n, v in x.items()} if isinstance(x, dict) else np.asarray(x)[rows]
        with calibrating(number):
            model(batch, training=False)
    for layer in _parts(model):
        if isinstance(layer, QuantizedKernel):
            layer.start_steps()


def file_differences(model: keras.Model, content: bytes, x: Any) -> tuple[np.ndarray, str]:
    """How far the file is from the model, in steps of the file's output: the largest over the outputs of each input.

    Args:
        content: The file that was written from the model.
        x: Inputs as `Split.x` has them, n of them.

    Returns:
        Whole steps, float64 of shape (n,); and which kernels ran the file: LiteRT's reference kernels, or XNNPACK's
        where an operator has no reference kernel. A float32 output has a step of 2^-16 of its largest value.
    """
    try:
        runtime = LiteRTModel(content, kernels="reference")
    except ModelError:
        runtime = LiteRTModel(content)
    theirs = runtime.predict(x)
    ours = model.predict(x, batch_size=256, verbose=0)
    largest = np.zeros(len(keras.tree.flatten(ours)[0]))
    given = theirs if isinstance(theirs, tuple) else (theirs,)
    for ours_one, theirs_one, info in zip(keras.tree.flatten(ours), given, runtime.outputs, strict=True):
        step = info.scale or float(np.max(np.abs(ours_one), initial=1e-30)) * 2.0**-16
        steps = np.round(np.abs(np.asarray(ours_one, np.float64) - theirs_one) / step)
        largest = np.maximum(largest, steps.reshape(len(steps), -1).max(axis=1, initial=0.0))
    return largest, runtime.kernels


def _parts(model: keras.Model) -> list[Any]:
    """Every layer with the layers inside it."""
    return list(model._flatten_layers(include_self=False, recursive=True))


def explain(model: keras.Model, settings: QuantizeAwareTrainingSettings) -> list[LayerChange]:
    """What becomes of each layer: bits, what it is folded into, or why it is left alone. Nothing is trained."""
    instead, why, _ = _instead(model, settings)
    if instead is not None:
        note = LayerChange(layer="", change=f"quantized after training: {why}")
        return [note, *post_training.explain(model, instead)]
    return simulated(model, settings)[1]


def preview(model: keras.Model, settings: QuantizeAwareTrainingSettings) -> Preview:
    """The model with simulated quantization, its ranges set by data that only have the right shape."""
    instead, _, planned = _instead(model, settings)
    return post_training.preview(model, instead) if instead is not None else planned or _previewed(model, settings)


def _previewed(model: keras.Model, settings: QuantizeAwareTrainingSettings) -> Preview:
    made = simulated(model, settings)[0]
    values = placeholder_calibration(made)
    x = values[0] if len(values) == 1 else dict(zip((each.name for each in made.inputs), values, strict=True))
    calibrate(made, x, len(values[0]), 0)
    return Preview(model=made, export=ExportSettings(mode="aware"))


def search_space() -> dict[str, list[Any]]:
    """Settings worth trying."""
    return {"weight_bits": [8, 4], "ranges": ["moving-average", "learned"], "learning_rate": [1e-4, 3e-4, 1e-3]}
