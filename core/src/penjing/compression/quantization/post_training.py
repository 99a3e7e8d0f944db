"""The technique `quantize`: numbers of fewer bits, without training.

- int8: weights symmetric per channel, activations affine per tensor, int8 inputs and outputs. Source: Jacob et al.
  2018, "Quantization and training of neural networks for efficient integer-arithmetic-only inference".
- int16x8: as int8, with activations of 16 bits, symmetric.
- dynamic: weights int8, activations float32; the runtime quantizes activations as it goes.
- weight-only-int8, weight-only-int4: small weights in the file, float32 arithmetic.
- float16: weights float16, arithmetic float32.

Equalization, learned rounding and bias correction change the Keras model's weights, in this order; the conversion
happens when the file is written, with the settings that this step decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from penjing.compression.quantization.adaround import learn_rounding
from penjing.compression.quantization.bias_correction import correct_biases
from penjing.compression.quantization.channel_grid import kernel_values
from penjing.compression.quantization.equalization import equalizable, equalize
from penjing.compression.quantization.gptq import round_by_gptq
from penjing.compression.quantization.layer_plan import LayerPlan, plan_layers, reason
from penjing.compression.quantization.mode_choice import settled
from penjing.compression.settings.quantization import INTEGER_MODES, QuantizeSettings
from penjing.contract import ExportSettings, LayerChange, Preview, Split, StepContext, StepOutcome
from penjing.errors import DataError


def apply(context: StepContext, settings: QuantizeSettings) -> StepOutcome:
    """Prepare the weights and decide how the file is written; the pipeline writes, checks and evaluates it."""
    model = context.model
    chosen, why = _settled(model, settings)
    if chosen is None:
        return StepOutcome(model=model, summary=f"left in float32: {why}", export=ExportSettings())
    settings = chosen
    plan = plan_layers(model, settings)
    needs_examples = settings.mode in INTEGER_MODES or settings.rounding != "nearest" or settings.bias_correction
    if needs_examples and len(context.train) == 0:
        raise DataError(
            f"{settings.mode} needs training examples to set the ranges of activations"
            if settings.mode in INTEGER_MODES
            else "learned rounding and bias correction need training examples",
            why="the training part is empty",
            hint="give x_train, or choose mode = 'dynamic'",
        )
    notes: dict[str, list[str]] = {path: [reason(entry, settings)] for path, entry in plan.items()}
    figures: dict[str, float] = {}
    if settings.equalize:
        for path, note in equalize(model, replace_relu6=settings.replace_relu6).items():
            notes[path].append(note)
    bits = {path: entry.weight_bits for path, entry in plan.items() if entry.weight_bits is not None}
    x = calibration_inputs(context.train, settings.calibration_examples, context.seed) if needs_examples else None
    exact = kernel_values(model, bits)
    if settings.rounding == "adaround":
        gains = learn_rounding(
            model, bits, x, updates=settings.rounding_updates, seed=context.seed, progress=context.progress
        )
        _note_gains("learned rounding", gains, notes, figures)
    elif settings.rounding == "gptq":
        gains = round_by_gptq(model, bits, x, tables=settings.mode not in INTEGER_MODES)
        _note_gains("rounding with error feedback", gains, notes, figures)
    if settings.bias_correction:
        for path, (before, after) in correct_biases(model, bits, x, exact).items():
            notes[path].append(f"bias corrected: mean output error {before:.2e} -> {after:.2e}")
    return StepOutcome(
        model=model,
        summary=_summary(settings, plan, len(context.train)) + (f"; {why}" if why else ""),
        layers=tuple(
            LayerChange(layer=path, change="; ".join(notes[path]))
            for path, entry in plan.items()
            if entry.layer.weights or entry.delicate
        ),
        figures=figures,
        export=_export_settings(settings, plan, min(settings.calibration_examples, len(context.train)), context.seed),
    )


def _settled(model: keras.Model, settings: QuantizeSettings) -> tuple[QuantizeSettings | None, str]:
    def form(those: QuantizeSettings) -> ExportSettings:
        return _export_settings(those, plan_layers(model, those), those.calibration_examples, 0)

    return settled(model, settings, form)


def _note_gains(
    how: str, gains: dict[str, tuple[float, float]], notes: dict[str, list[str]], figures: dict[str, float]
) -> None:
    for path, (nearest, found) in gains.items():
        share = 1 - found / nearest if nearest > 0 else 0.0
        notes[path].append(f"{how}: output error {share:.0%} below nearest rounding's")
        figures[f"rounding_gain[{path}]"] = share


def _export_settings(
    settings: QuantizeSettings, plan: dict[str, LayerPlan], examples: int, seed: int
) -> ExportSettings:
    return ExportSettings(
        mode=settings.mode,
        calibration_examples=examples if settings.mode in INTEGER_MODES else 0,
        seed=seed,
        calibration=settings.calibration,
        percentile=settings.percentile,
        layers=precisions(settings, plan),
        compact_biases=settings.compact_biases,
    )


def calibration_inputs(train: Split, examples: int, seed: int) -> Any:
    """Training inputs that the seed chooses: those that the converter's calibration sees, too.

    Raises:
        DataError: One of them is not finite.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(train))[: min(examples, len(train))])
    arrays = train.x if isinstance(train.x, dict) else {"x": train.x}
    taken = {name: np.asarray(values)[chosen] for name, values in arrays.items()}
    for name, values in taken.items():
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise DataError(f"calibration data for input '{name}' holds NaN or infinite values")
    return taken if isinstance(train.x, dict) else taken["x"]


def precisions(settings: QuantizeSettings, plan: dict[str, LayerPlan]) -> dict[str, str]:
    """Precision by layer path, as `ExportSettings.layers` has it: empty where all layers follow the mode."""
    if not is_layered(settings) and not any(entry.delicate for entry in plan.values()):
        return {}
    return {path: entry.precision for path, entry in plan.items()}


def is_layered(settings: QuantizeSettings) -> bool:
    """Whether the file is told the precision of each layer. Always with float activations: weights are prepared for the
    grid that they come to, and the converter's own dynamic mode chooses by itself which become small."""
    return bool(settings.layers) or settings.mode in ("dynamic", "weight-only-int8", "weight-only-int4")


def _summary(settings: QuantizeSettings, plan: dict[str, LayerPlan], available: int) -> str:
    words = {
        "int8": "int8",
        "int16x8": "int8 weights, int16 activations",
        "dynamic": "int8 weights, float32 activations",
        "weight-only-int8": "int8 weights, float32 arithmetic",
        "weight-only-int4": "int4 weights, float32 arithmetic",
        "float16": "float16 weights",
    }
    parts = [words[settings.mode]]
    if settings.mode in INTEGER_MODES:
        examples = min(settings.calibration_examples, available)
        method = "" if settings.calibration == "min-max" else f" by {settings.calibration}"
        parts.append(f"ranges{method} from {examples:,} training examples")
    others: dict[str, int] = {}
    for entry in plan.values():
        if (entry.pattern is not None and entry.layer.weights) or entry.delicate:
            others[entry.precision] = others.get(entry.precision, 0) + 1
    parts += [f"{count} layers {precision}" for precision, count in others.items()]
    parts += ["equalized"] * settings.equalize
    parts += {"nearest": [], "adaround": ["learned rounding"], "gptq": ["rounding with error feedback"]}[
        settings.rounding
    ]
    parts += ["biases corrected"] * settings.bias_correction
    return ", ".join(parts)


def explain(model: keras.Model, settings: QuantizeSettings) -> list[LayerChange]:
    """Each layer's precision and why, and which layers can be equalized."""
    chosen, why = _settled(model, settings)
    if chosen is None:
        return [LayerChange(layer="", change=f"left in float32: {why}")]
    plan = plan_layers(model, chosen)
    through = equalizable(model, replace_relu6=chosen.replace_relu6) if chosen.equalize else {}
    return [
        *([LayerChange(layer="", change=f"{chosen.mode}: {why}")] if why else []),
        *_layer_changes(plan, chosen, through),
    ]


def _layer_changes(
    plan: dict[str, LayerPlan], settings: QuantizeSettings, through: dict[str, str]
) -> Iterator[LayerChange]:
    for path, entry in plan.items():
        if entry.layer.weights or entry.delicate:
            change = f"{reason(entry, settings)} ({entry.layer.count_params():,} parameters)"
            yield LayerChange(layer=path, change=change + (f"; {through[path]}" if path in through else ""))


def preview(model: keras.Model, settings: QuantizeSettings) -> Preview:
    """The model as it is, and the form of its file."""
    chosen, _ = _settled(model, settings)
    if chosen is None:
        return Preview(model=model, export=ExportSettings())
    plan = plan_layers(model, chosen)
    return Preview(model=model, export=_export_settings(chosen, plan, chosen.calibration_examples, 0))


def search_space() -> dict[str, list[Any]]:
    """Settings worth trying."""
    return {
        "mode": ["int8", "int16x8", "dynamic", "weight-only-int8", "weight-only-int4", "float16"],
        "calibration": ["min-max", "percentile", "mse", "entropy"],
        "equalize": [False, True],
        "rounding": ["nearest", "adaround", "gptq"],
        "bias_correction": [False, True],
    }
