"""What attention and recurrent layers with simulated quantization share: a layer written out as many operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras


class WrittenOut(keras.layers.Layer):
    """A layer that stands for several operators of the file, each with a range of its own.

    Args:
        form: What the layer that it stands for is like, in JSON values.
        quantization: As of `QuantizedKernel`; its range is the pattern of all ranges inside.
        fixed: Grids that activations demand, by name: `ranges.FIXED_8` or `FIXED_16`.
    """

    def __init__(
        self,
        *,
        form: Mapping[str, Any],
        quantization: Mapping[str, Any],
        fixed: Mapping[str, Sequence[float]],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.form, self.quantization, self.fixed = dict(form), dict(quantization), dict(fixed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "form": self.form, "quantization": self.quantization, "fixed": self.fixed}
