"""The C array is the file, byte for byte, as a compiler reads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from penjing.export.c_array import write_c_array

LABELS = ("yes", 'he said "no"', "back\\slash", "two\nlines", "木", "what??/")


def bundle(domain: str, content: bytes, labels: tuple[str, ...]) -> Any:
    return SimpleNamespace(manifest=SimpleNamespace(domain=domain, name="default"), labels=labels, model_bytes=content)


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
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    content = bytes(range(256)) * 3 + b"\x00end"
    paths = write_c_array(bundle(domain, content, labels), tmp_path)
    assert [path.name for path in paths] == ["model.h", "model.cc"]
    header = paths[0].read_text()
    name = (
        next(line for line in header.splitlines() if line.endswith("_model[];")).split()[-1].removesuffix("_model[];")
    )
    (tmp_path / "main.cc").write_text(
        '#include <cstdio>\n#include <cstdint>\n#include <cstring>\n#include "model.h"\n'
        "int main() {\n"
        f"  if (reinterpret_cast<std::uintptr_t>({name}_model) % 16) return 3;\n"
        f"  std::fwrite({name}_model, 1, {name}_model_len, stdout);\n"
        f"  for (unsigned i = 0; i < {name}_label_count; ++i)"
        f" std::fwrite({name}_labels[i], 1, std::strlen({name}_labels[i]) + 1, stdout);\n"
        "}\n"
    )
    build = [compiler, "-std=c++11", "-Wall", "-Wextra", "-Werror", "model.cc", "main.cc", "-o", "program"]
    subprocess.run(build, cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "program"], capture_output=True, check=True).stdout
    assert printed == content + b"".join(label.encode() + b"\0" for label in labels)
