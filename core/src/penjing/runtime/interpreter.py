"""Run a .tflite file with ai-edge-litert: numbers in, numbers out, quantization done here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from penjing.errors import DataError, ModelError
from penjing.quiet import caught_output
from penjing.runtime.aborts import why_reference_kernels_abort

Kernels = Literal["xnnpack", "reference"]


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """An input or output of the file."""

    name: str
    shape: tuple[int, ...]
    """With the batch dimension, 1."""
    dtype: str
    scale: float
    """One step in real units; 0 where the tensor is not quantized."""
    zero_point: int


class LiteRTModel:
    """A .tflite file, ready to run.

    Args:
        content: The file's bytes.
        kernels: "xnnpack" are the optimised kernels that devices with a CPU use; "reference" the plain ones that
            define what an operator means.
        threads: Threads of the interpreter.

    Raises:
        ModelError: The bytes are no .tflite file, or hold an operator that the runtime does not have.
    """

    def __init__(self, content: bytes, *, kernels: Kernels = "xnnpack", threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        if content[4:8] != b"TFL3":
            raise ModelError("this is no .tflite file", why="the identifier TFL3 is missing at byte 4")
        resolver = OpResolverType.AUTO if kernels == "xnnpack" else OpResolverType.BUILTIN_REF
        aborting: str | None = None
        with caught_output() as chatter:
            try:
                self._interpreter = Interpreter(
                    model_content=content, num_threads=threads, experimental_op_resolver_type=resolver
                )
                # The interpreter has found the file whole; planning it is where kernels may end the process.
                aborting = why_reference_kernels_abort(content) if kernels == "reference" else None
                if aborting is None:
                    self._interpreter.allocate_tensors()
                failure: Exception | None = None
            except Exception as error:
                failure = error
        if failure is not None:
            raise ModelError(
                "LiteRT cannot run the file",
                why=f"{failure} {chatter.text.strip()}".strip()[:600],
                hint="see which operators it holds with: penjing inspect FILE",
            ) from failure
        if aborting is not None:
            raise ModelError(
                "LiteRT's reference kernels cannot run the file",
                why=aborting,
                hint="train the model, or leave its softmax out: the largest input is the largest output",
            )
        self.kernels = kernels
        self.threads = threads
        self.inputs = tuple(_info(d) for d in self._interpreter.get_input_details())
        self.outputs = tuple(_info(d) for d in self._interpreter.get_output_details())
        self._input_numbers = [d["index"] for d in self._interpreter.get_input_details()]
        self._output_numbers = [d["index"] for d in self._interpreter.get_output_details()]

    def predict(self, x: Any) -> Any:
        """Outputs in real units.

        Args:
            x: Real numbers of shape (n, *input_shape); for a file with several inputs a list of such arrays in
                their order, or a dict by their names. An array of the input's own integer type (int8, say) is taken
                as quantized already.

        Returns:
            float32 of shape (n, *output_shape), or a tuple of them where the file has several outputs.

        Raises:
            DataError: The shape does not fit, a value is not finite or no number, or a name is not known.
        """
        raw = self.predict_raw(x)
        outputs = raw if isinstance(raw, tuple) else (raw,)
        real = tuple(dequantize(values, info) for values, info in zip(outputs, self.outputs, strict=True))
        return real if isinstance(raw, tuple) else real[0]

    def predict_raw(self, x: Any) -> Any:
        """Outputs as the file emits them: int8 for a quantized file. Arguments as in `predict`."""
        quantized = self.quantized_inputs(x)
        count = len(quantized[0])
        results: list[np.ndarray] = [np.empty((count, *info.shape[1:]), info.dtype) for info in self.outputs]
        for index in range(count):
            for number, values in zip(self._input_numbers, quantized, strict=True):
                self._interpreter.set_tensor(number, values[index : index + 1])
            self._interpreter.invoke()
            for number, result in zip(self._output_numbers, results, strict=True):
                result[index] = self._interpreter.get_tensor(number)[0]
        return tuple(results) if len(results) > 1 else results[0]

    def quantized_inputs(self, x: Any) -> list[np.ndarray]:
        """What the file itself takes for `x`: one array per input, in its order and type. Arguments as in `predict`."""
        arrays = [self._checked(values, info) for values, info in zip(self._in_order(x), self.inputs, strict=True)]
        if len({len(array) for array in arrays}) > 1:
            raise DataError(
                "the inputs have different numbers of examples", why=", ".join(str(len(array)) for array in arrays)
            )
        return [quantize(array, info) for array, info in zip(arrays, self.inputs, strict=True)]

    def invoke(self) -> None:
        """Run once on whatever the inputs hold; for timing."""
        self._interpreter.invoke()

    def _in_order(self, x: Any) -> list[Any]:
        given = list(x.values()) if isinstance(x, dict) else list(x) if isinstance(x, (list, tuple)) else [x]
        if len(given) != len(self.inputs):
            raise DataError(f"the file has {len(self.inputs)} inputs, {len(given)} were given")
        names = [info.name for info in self.inputs]
        if not isinstance(x, dict) or len(x) == 1 or not all(names):
            return given
        if set(x) != set(names):
            raise DataError(
                f"the file has no inputs {sorted(map(str, set(x) - set(names)))}",
                why="its inputs are " + ", ".join(names),
                hint="give a dict with these names, or a list in this order",
            )
        return [x[name] for name in names]

    @staticmethod
    def _checked(values: Any, info: TensorInfo) -> np.ndarray:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise DataError(f"the input holds {array.dtype}, which are no numbers")
        if array.ndim != len(info.shape) or array.shape[1:] != info.shape[1:]:
            raise DataError(
                f"the input has shape {array.shape}",
                why=f"the file takes (n, {', '.join(map(str, info.shape[1:]))})",
            )
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise DataError("the input holds NaN or infinite values")
        return array


def quantize(values: np.ndarray, info: TensorInfo) -> np.ndarray:
    """Real numbers as the tensor's integers: round(x / scale) + zero_point, clipped; halves away from zero as in
    LiteRT's QUANTIZE. Numbers of the tensor's own type are integers of it already and stay. A tensor that is not
    quantized only changes its type.

    Raises:
        DataError: A number does not fit into the type of a tensor that is not quantized.
    """
    if values.dtype == info.dtype:
        return values
    if not info.scale:
        converted = values.astype(info.dtype)
        if np.issubdtype(info.dtype, np.integer) and not np.array_equal(converted, values):
            raise DataError(f"the input holds numbers that are not {info.dtype}")
        return converted
    limits = np.iinfo(info.dtype)
    steps = values.astype(np.float32) / np.float32(info.scale)
    rounded = np.trunc(steps + np.copysign(np.float32(0.5), steps)) + info.zero_point
    return np.clip(rounded, limits.min, limits.max).astype(info.dtype)


def dequantize(values: np.ndarray, info: TensorInfo) -> np.ndarray:
    """The tensor's integers as real numbers: (q - zero_point) * scale, float32."""
    if not info.scale:
        return values.astype(np.float32)
    return (values.astype(np.float32) - np.float32(info.zero_point)) * np.float32(info.scale)


def _info(details: dict[str, Any]) -> TensorInfo:
    scale, zero_point = details["quantization"]
    return TensorInfo(
        name=str(details["name"]),
        shape=tuple(int(size) for size in details["shape"]),
        dtype=np.dtype(details["dtype"]).name,
        scale=float(scale),
        zero_point=int(zero_point),
    )
