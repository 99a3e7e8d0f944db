"""The C array is the file, byte for byte, as a compiler reads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from penjing.errors import ModelError
from penjing.export.c_array import c_name, write_c_array
from penjing.measure.tflm import measure_arena, tflm_is_installed

LABELS = ("yes", 'he said "no"', "back\\slash", "two\nlines", "木", "what??/")


def tflite_file(*operators: str) -> bytes:
    """A file with these operators one after the other on four numbers."""
    model = schema.ModelT()
    model.version, model.description = 3, "".join(map(chr, range(1, 127)))
    model.buffers, graph = [schema.BufferT()], schema.SubGraphT()
    model.operatorCodes, graph.operators, graph.tensors = [], [], []
    for number in range(len(operators) + 1):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.name = [1, 4], schema.TensorType.FLOAT32, f"t{number}"
        graph.tensors.append(tensor)
    for number, name in enumerate(operators):
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(127, code.builtinCode)
        operator.opcodeIndex, operator.inputs, operator.outputs = number, [number], [number + 1]
        model.operatorCodes.append(code)
        graph.operators.append(operator)
    graph.inputs, graph.outputs, model.subgraphs = [0], [len(operators)], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def tensor(dtype: str, scale: float, zero_point: int, meaning: str = "something", size: int = 4) -> Any:
    return SimpleNamespace(dtype=dtype, shape=[1, size], scale=scale, zero_point=zero_point, meaning=meaning)


def bundle(domain: str, content: bytes, labels: tuple[str, ...], inputs: tuple = (), outputs: tuple = ()) -> Any:
    manifest = SimpleNamespace(domain=domain, name="default", inputs=list(inputs), outputs=list(outputs))
    return SimpleNamespace(manifest=manifest, labels=labels, model_bytes=content)


def compiled(folder: Path, program: str, standard: str = "c++11", *flags: str) -> bytes:
    """What the program prints that is compiled with the files in the folder."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    (folder / "main.cc").write_text(program)
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", *flags]
    subprocess.run(
        [compiler, f"-std={standard}", *strict, "model.cc", "main.cc", "-o", "program"], cwd=folder, check=True
    )
    return subprocess.run([folder / "program"], capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("domain", "labels"),
    [
        ("keyword-spotting", LABELS),
        ("model", ()),
        ("3d-shapes", ("a",)),
        ("日本", ("b",)),
        ("a\n#error injected", ("c",)),
    ],
)
def test_a_compiled_program_gives_back_the_file_and_its_labels(
    tmp_path: Path, domain: str, labels: tuple[str, ...]
) -> None:
    content = tflite_file("RELU")
    paths = write_c_array(bundle(domain, content, labels), tmp_path)
    assert [path.name for path in paths] == ["model.h", "model.cc", "model_ops.h"]
    name = c_name(domain)
    printed = compiled(
        tmp_path,
        '#include <cstdio>\n#include <cstdint>\n#include <cstring>\n#include "model.h"\n'
        "int main() {\n"
        f"  if (reinterpret_cast<std::uintptr_t>({name}_model) % 16) return 3;\n"
        f"  std::fwrite({name}_model, 1, {name}_model_len, stdout);\n"
        f"  for (unsigned i = 0; i < {name}_label_count; ++i)"
        f" std::fwrite({name}_labels[i], 1, std::strlen({name}_labels[i]) + 1, stdout);\n"
        "}\n",
    )
    assert printed == content + b"".join(label.encode() + b"\0" for label in labels)


def test_inputs_and_outputs_are_described_to_the_last_bit(tmp_path: Path) -> None:
    scale = 0.03921568766236305  # a float32
    made = bundle(
        "kws",
        tflite_file("RELU"),
        (),
        inputs=(tensor("int8", scale, -7, "log-mel,\n#error"), tensor("float32", 0.0, 0, size=9)),
        outputs=(tensor("int8", 1.0, -128, "probability", size=12),),
    )
    write_c_array(made, tmp_path)
    printed = compiled(
        tmp_path,
        '#include <cstdio>\n#include "model.h"\n'
        'int main() { std::printf("%u %.17g %d %u %u %g %d", kws_input_0_size, double(kws_input_0_scale), '
        "kws_input_0_zero_point, kws_input_1_size, kws_output_size, double(kws_output_scale), "
        "kws_output_zero_point); }\n",
    )
    assert printed.decode().split() == ["4", f"{scale:.17g}", "-7", "9", "12", "1", "-128"]


RESOLVER = """
#include <cstdio>
#include "model_ops.h"
struct Resolver {
  int AddRelu() { std::printf("relu "); return 0; }
  int AddDepthwiseConv2D() { std::printf("depthwise "); return 0; }
  int AddBatchMatMul() { std::printf("matmul "); return 0; }
};
int main() {
  Resolver resolver;
  const int status = model_register_ops(resolver);
  std::printf("%d %d %d", status, MODEL_OP_COUNT, MODEL_ARENA_BYTES);
}
"""


def test_the_resolver_is_told_each_operator_once_by_its_own_name(tmp_path: Path) -> None:
    write_c_array(bundle("model", tflite_file("RELU", "DEPTHWISE_CONV_2D", "RELU", "BATCH_MATMUL"), ()), tmp_path)
    printed = compiled(tmp_path, RESOLVER, "c++17", "-DMODEL_ARENA_BYTES=77")
    assert printed.decode() == "relu depthwise matmul 0 3 77"


def test_the_arena_is_measured_or_asked_for(tmp_path: Path) -> None:
    write_c_array(bundle("model", tflite_file("RELU"), ()), tmp_path)
    text = (tmp_path / "model_ops.h").read_text()
    if tflm_is_installed():
        content = tflite_file("RELU")
        assert f"#define MODEL_ARENA_BYTES {measure_arena(content).arena_bytes}" in text
    else:
        assert '#error "the arena was not measured' in text


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        write_c_array(bundle("model", b"no file", ()), tmp_path)
    assert not list(tmp_path.iterdir())
