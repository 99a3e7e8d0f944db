"""Files that would end the whole process in LiteRT's kernels instead of raising an error."""

from __future__ import annotations

SMALLEST_SOFTMAX_STEP = 2.0**-26
"""LiteRT's reference kernel of a quantized SOFTMAX needs an input step, times beta, above this: it scales differences
to 5 integer bits of 31 and checks that the factor is above one (`QuantizeMultiplierGreaterThanOne`)."""


def why_reference_kernels_abort(content: bytes) -> str | None:
    """Why LiteRT's reference kernels would abort on a file; None where nothing is known against it.

    Args:
        content: A .tflite file.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    codes = [max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) for code in _each(model, "OperatorCodes")]
    for graph in _each(model, "Subgraphs"):
        for number, operator in enumerate(_each(graph, "Operators")):
            if codes[operator.OpcodeIndex()] != schema.BuiltinOperator.SOFTMAX:
                continue
            tensor = graph.Tensors(operator.Inputs(0))
            quantization = tensor.Quantization()
            if tensor.Type() != schema.TensorType.INT8 or quantization is None or quantization.ScaleLength() == 0:
                continue
            step = quantization.Scale(0)
            if step <= SMALLEST_SOFTMAX_STEP:
                return (
                    f"operator {number}, SOFTMAX: its input has a step of {step:.1e}, "
                    f"and {SMALLEST_SOFTMAX_STEP:.1e} or less ends the process; "
                    "the values in front of it hardly vary, as those of an untrained model"
                )
    return None


def _each(owner, name: str):  # type: ignore[no-untyped-def]
    item, count = getattr(owner, name), getattr(owner, f"{name}Length")
    return (item(index) for index in range(count()))
