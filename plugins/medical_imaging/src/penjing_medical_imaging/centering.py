"""The step `center-threshold`: the threshold that validation chooses becomes 0.5, by the last layer's bias alone.

Then every tool that cuts a probability at 0.5 (MedMNIST's accuracy, a confusion table, another program) decides at the
chosen operating point. No byte is added, and the order of the images, so the AUC, does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from penjing.contract import LayerChange, StepContext, StepOutcome
from penjing.errors import ModelError, RecipeError
from penjing_medical_imaging.operating_point import choose_threshold, rates


class CenterThresholdSettings(BaseModel):
    """Settings of `center-threshold`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["youden", "sensitivity", "specificity"] = Field(
        default="youden",
        description="youden: the highest threshold whose sensitivity + specificity is within a standard error of the "
        "best; sensitivity, specificity: where that reaches the target",
    )
    target: float = Field(default=0.95, gt=0, lt=1, description="of the rules sensitivity and specificity")


def apply(context: StepContext, settings: CenterThresholdSettings) -> StepOutcome:
    """Shift the bias of the last layer; only for two classes, others are left as they are.

    A model that simulates quantization is moved by whole steps of its logit's grid, so that no image is rounded
    otherwise than before.

    Raises:
        RecipeError: An earlier step promises something of the model's weights.
        ModelError: The last layer has no bias, or is no sigmoid.
    """
    if context.task != "binary":
        return StepOutcome(model=context.model, summary="nothing to do: only for two classes")
    layer = deciding_layer(context.model)
    if any(getattr(invariant, "summary", "") for invariant in context.invariants):
        raise RecipeError(
            "the threshold cannot be moved after a step that promises something of the weights",
            where="step center-threshold",
            hint="put it before pruning and clustering",
        )
    positive = np.asarray(context.validation.y).reshape(-1) > 0.5
    if hasattr(layer, "shift_output"):
        threshold, shift = _shift_on_grid(context, layer, positive, settings)
    else:
        scores = np.asarray(context.model.predict(context.validation.x, verbose=0)).reshape(-1)
        threshold = choose_threshold(positive, scores, settings.rule, settings.target)
        bounded = float(np.clip(threshold, 1e-4, 1 - 1e-4))
        shift = float(np.log(bounded) - np.log1p(-bounded))
        layer.bias.assign(layer.bias - shift)
    decided = np.asarray(context.model.predict(context.validation.x, verbose=0)).reshape(-1) > 0.5
    sensitivity, specificity = rates(positive, decided)
    return StepOutcome(
        model=context.model,
        summary=(
            f"the threshold {threshold:.3f} (validation sensitivity {sensitivity:.3f}, specificity {specificity:.3f}) "
            "is now 0.5"
        ),
        layers=(LayerChange(layer=layer.name, change=f"bias moved by {-shift:+.3f}"),),
        figures={
            "threshold_before": threshold,
            "validation_sensitivity": sensitivity,
            "validation_specificity": specificity,
        },
    )


def _shift_on_grid(
    context: StepContext, layer: Any, positive: np.ndarray, settings: CenterThresholdSettings
) -> tuple[float, float]:
    """(threshold as a probability, what was taken off the logit) of a layer with simulated quantization."""
    import keras

    inner = keras.Model(context.model.inputs, layer.output)
    logits, grid = inner.predict(context.validation.x, verbose=0)
    step = float(np.asarray(grid).reshape(-1)[0])
    # Whole numbers: the threshold lies between two of them, and the lower one, still negative, becomes 0.
    numbers = np.rint(np.asarray(logits, np.float64).reshape(-1) / step)
    cut = choose_threshold(positive, numbers, settings.rule, settings.target)
    lower = int(np.floor(cut))
    layer.shift_output(-lower)
    return float(1 / (1 + np.exp(-cut * step))), lower * step


def deciding_layer(model: Any) -> Any:
    """The layer whose bias decides: the last, or with simulated quantization the one before the sigmoid's table.

    Raises:
        ModelError: The last layer has no bias, or is no sigmoid.
    """
    last = layer = model.layers[-1]
    if not hasattr(last, "bias") and len(model.layers) > 1:
        before = model.layers[-2]
        layer = before if hasattr(before, "shift_output") else last
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    if activation != "sigmoid" or getattr(layer, "bias", None) is None:
        raise ModelError(
            "the threshold cannot be moved",
            where=f"layer '{last.name}'",
            why="it is no sigmoid layer with a bias",
            hint="leave the step center-threshold out",
        )
    return layer


def explain(model: Any, settings: CenterThresholdSettings) -> Sequence[LayerChange]:
    """Only the last layer's bias changes, and only for two classes."""
    layer = model.layers[-1]
    return [LayerChange(layer=layer.name, change="bias moved so that the chosen threshold is 0.5 (two classes only)")]
