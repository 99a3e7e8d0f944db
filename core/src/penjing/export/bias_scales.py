"""Files for microcontrollers alone: biases without scales and zero points.

A bias counts in steps of (scale of the input) x (scale of the channel's weights), so its own parameters say nothing
new. The reference kernels and TFLM do not read them. XNNPACK asks for them, and leaves operators without to slower
kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from penjing.errors import ModelError
from penjing.export.composition import operator_names
from penjing.export.file_layers import KERNEL_OPERATORS, data_and_bias
from penjing.export.flatbuffer import pack

CHECKED_EXAMPLES = 16


def without_bias_scales(content: bytes, examples: Mapping[str, np.ndarray]) -> bytes:
    """The same integer network without the quantization parameters of its biases.

    Args:
        content: An int8 or int16x8 file.
        examples: Inputs by name; the first of them run through both files on the reference kernels.

    Raises:
        ModelError: An output differs.
    """
    from penjing.runtime import LiteRTModel

    model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    integers = (schema.TensorType.INT32, schema.TensorType.INT64)
    for graph in model.subgraphs:
        for operator, name in zip(graph.operators, operator_names(model, graph), strict=True):
            at = data_and_bias(name)[1]
            if name in KERNEL_OPERATORS and len(operator.inputs) > at and operator.inputs[at] >= 0:
                bias = graph.tensors[operator.inputs[at]]
                if bias.type in integers:
                    bias.quantization = None
    compact = pack(model)
    x = {name: values[:CHECKED_EXAMPLES] for name, values in examples.items()}
    before, after = (LiteRTModel(file, kernels="reference").predict_raw(x) for file in (content, compact))
    pairs = zip(before, after, strict=True) if isinstance(before, tuple) else [(before, after)]
    if not all(np.array_equal(first, second) for first, second in pairs):
        raise ModelError(
            "the file computes otherwise without the quantization parameters of its biases",
            why="an operator's reference kernel reads them",
            hint="set compact_biases = false",
        )
    return compact
