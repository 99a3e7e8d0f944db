"""A recipe gone through without training: what would fail in a later step fails at once."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from penjing.compression.growth import check_growth, file_bytes, may_grow
from penjing.compression.plan import PlannedStep, Resolve
from penjing.compression.technique_calls import previewed
from penjing.contract import ExportSettings
from penjing.errors import PenjingError
from penjing.export.trial import file_cost

SURE = 1.05
"""The channels here need not be those that training chooses: growth of up to 5 % is left to the step's own file."""


def rehearse(model: keras.Model, steps: Sequence[PlannedStep], resolve: Resolve) -> None:
    """Let each step say what sizes it leaves, up to one that changes the structure and does not say how.

    Args:
        model: The model before the recipe, trained or not.

    Raises:
        PenjingError: A step cannot do what its settings ask, for reasons that no training changes; `where` names it.
        CheckFailedError: A step's file would be larger than the one before it.
    """
    growing, settings = may_grow(model), ExportSettings()
    for step in steps:
        try:
            preview = previewed(step, model, resolve)
        except PenjingError as error:
            raise error.within(f"step {step.number}, {step.technique.name}") from error
        if preview is None:
            if step.technique.changes_structure:
                return
            continue
        if growing and preview.export not in (None, settings):
            before = file_cost(model, settings).flash_bytes
            after, about = file_bytes(preview.model, preview.export)
            if after > SURE * before:
                check_growth(step, model, preview.export.mode, before, after, about)
        model, settings = preview.model, preview.export or settings
