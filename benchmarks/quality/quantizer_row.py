"""ai-edge-quantizer: static int8 of the float file that TensorFlow's converter has written."""

from __future__ import annotations

import time
from pathlib import Path

from job import Job


def main(job: Job) -> None:
    """Calibrate and quantize."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    content = (Path(job.options["float"]) / "model.tflite").read_bytes()
    signatures = Interpreter(model_content=content).get_signature_list()
    ((name, signature),) = signatures.items()
    (key,) = signature["inputs"]
    began = time.monotonic()
    tool = quantizer.Quantizer(content, recipe.static_wi8_ai8())
    x = job.calibration
    ranges = tool.calibrate({name: [{key: x[row : row + 1]} for row in range(len(x))]})
    quantized = bytes(tool.quantize(ranges).quantized_model)
    job.finish(quantized, time.monotonic() - began, ("ai-edge-quantizer", "ai-edge-litert"))


if __name__ == "__main__":
    main(Job.from_command_line())
