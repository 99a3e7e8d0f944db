"""The C++ that is written hears what Python hears: features, looks and words of the compiled program are compared."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flatbuffers
import numpy as np
import pytest
import soundfile
from ai_edge_litert import schema_py_generated as schema

from penjing.errors import UsageError
from penjing_datasets.audio import read_audio
from penjing_keyword_spotting.features import MLPERF_TINY, FrontEnd
from penjing_keyword_spotting.microcontroller import write_project
from penjing_keyword_spotting.predict import decoding_of
from penjing_keyword_spotting.streaming import detect, look_times

LABELS = ("no", "yes", "_silence_", "_unknown_")
COMPILER = shutil.which("g++") or shutil.which("c++")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler here")
STRICT = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]

FRONT_ENDS = {
    "log-mel": FrontEnd(mean=-2.3845, scale=2.6507),
    "mfcc of MLPerf Tiny": MLPERF_TINY,
    "8 kHz": FrontEnd(
        sample_rate=8_000, clip_samples=8_000, frame_samples=240, hop_samples=160, fft_size=512, high_hz=3_800.0
    ),
}


def network(front_end: FrontEnd) -> bytes:
    """A file of one operator; what it computes does not matter here."""
    model, graph, code, operator = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    graph.tensors = [schema.TensorT(), schema.TensorT()]
    for number, tensor in enumerate(graph.tensors):
        tensor.shape, tensor.type, tensor.name = [1, *front_end.shape], schema.TensorType.INT8, f"t{number}"
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [1]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def bundle(front_end: FrontEnd, dtype: str = "int8", domain: str = "keyword-spotting") -> Any:
    def tensor(shape: tuple[int, ...]) -> Any:
        return SimpleNamespace(dtype=dtype, shape=[1, *shape], scale=0.05, zero_point=3, meaning="numbers")

    measured = {"stream[threshold]": 0.72, "stream[smoothed_looks]": 3.0}
    manifest = SimpleNamespace(
        domain=domain,
        name="default",
        inputs=[tensor(front_end.shape)],
        outputs=[tensor((len(LABELS),))],
        metrics={name: SimpleNamespace(estimate=value) for name, value in measured.items()},
    )
    return SimpleNamespace(
        manifest=manifest, labels=LABELS, preprocessing=front_end.to_json(), model_bytes=network(front_end)
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[FrontEnd, Path]]:
    """(front end, compiled program) by the front end's name."""
    programs: dict[str, Path] = {}

    def build(name: str) -> tuple[FrontEnd, Path]:
        if name not in programs:
            folder = tmp_path_factory.mktemp("cpp")
            write_project(bundle(FRONT_ENDS[name]), folder)
            sources = ["main.cc", "front_end.cc", "model.cc"]
            assert COMPILER is not None
            subprocess.run([COMPILER, *STRICT, *sources, "-o", "spot"], cwd=folder, check=True)
            programs[name] = folder / "spot"
        return FRONT_ENDS[name], programs[name]

    return build


def synthetic_clip(path: Path, rate: int, seconds: float = 1.0) -> Path:
    time = np.arange(round(rate * seconds)) / rate
    sound = 0.3 * np.sin(2 * np.pi * (200 + 900 * time) * time) + np.random.default_rng(0).normal(0, 0.01, len(time))
    soundfile.write(path, sound, rate, subtype="PCM_16")
    return path


def features(program: Path, front_end: FrontEnd, clip: Path) -> np.ndarray:
    printed = subprocess.run([program, "--features", clip], capture_output=True, check=True).stdout
    return np.frombuffer(printed, np.float32).reshape(front_end.shape)


@needs_compiler
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_the_compiled_front_end_gives_pythons_features(name: str, built, tmp_path: Path) -> None:
    front_end, program = built(name)
    clip = synthetic_clip(tmp_path / "clip.wav", front_end.sample_rate)
    expected = front_end.of_clips(read_audio(clip, front_end.sample_rate)[None])[0]
    assert np.abs(features(program, front_end, clip) - expected).max() < 2e-4


@needs_compiler
def test_real_clips_give_the_same_features_and_the_same_integers(built, tmp_path: Path, penjing_data: Path) -> None:
    front_end, program = built("log-mel")
    for number, samples in enumerate(real_clips(penjing_data, 12)):
        clip = tmp_path / f"{number}.wav"
        soundfile.write(clip, samples, 16_000, subtype="PCM_16")
        mine, theirs = features(program, front_end, clip), front_end.of_clips(samples[None])[0]
        assert np.abs(mine - theirs).max() < 1e-3
        # As the network takes them, one step apart at most, and seldom.
        steps = np.round(mine / 0.05) - np.round(theirs / 0.05)
        assert np.abs(steps).max() <= 1 and np.mean(steps != 0) < 0.001


def real_clips(penjing_data: Path, count: int) -> list[np.ndarray]:
    import tarfile

    found = []
    with tarfile.open(
        penjing_data / "keyword_spotting/speech_commands/speech_commands_v0.02_12class.tar.xz"
    ) as archive:
        for member in archive:
            if member.name.endswith(".wav"):
                file = archive.extractfile(member)
                assert file is not None
                samples = read_audio(file.read(), 16_000, member.name)
                if len(samples) == 16_000:
                    found.append(samples)
            if len(found) == count:
                break
    return found


@needs_compiler
@pytest.mark.parametrize("seed", range(5))
def test_the_compiled_decision_on_a_stream_is_pythons(seed: int, built, tmp_path: Path) -> None:
    front_end, program = built("log-mel")
    generator = np.random.default_rng(seed)
    recording = synthetic_clip(tmp_path / "long.wav", 16_000, seconds=30.0)
    looks = 291
    probabilities = np.repeat(generator.dirichlet([0.1] * 4, 100), generator.integers(1, 12, 100), axis=0)[:looks]
    probabilities = probabilities.astype(np.float32)
    (tmp_path / "answers").write_bytes(probabilities.tobytes())
    done = subprocess.run(
        [program, "--probabilities", tmp_path / "answers", recording], capture_output=True, text=True, check=True
    )
    expected = detect(probabilities, look_times(front_end, 0, looks), LABELS, decoding_of(bundle(front_end)))
    assert len(expected) > 5
    found = [line.split() for line in done.stdout.splitlines()]
    assert [(float(at), word) for at, word, _ in found] == [(one.seconds, one.word) for one in expected]
    assert np.allclose([float(p) for _, _, p in found], [one.probability for one in expected], atol=1e-4)


TFLM = {
    "tensorflow/lite/micro/micro_mutable_op_resolver.h": """
#pragma once
#include "tensorflow/lite/micro/micro_interpreter.h"
namespace tflite {
template <unsigned int count> class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddRelu() { return kTfLiteOk; }
};
}""",
    "tensorflow/lite/micro/micro_interpreter.h": """
#pragma once
#include <cstddef>
#include <cstdint>
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
struct TfLiteTensor { union { std::int8_t* int8; } data; };
namespace tflite {
struct Model {};
class MicroOpResolver {};
class MicroInterpreter {
 public:
  MicroInterpreter(const Model*, const MicroOpResolver&, std::uint8_t*, std::size_t) {}
  TfLiteStatus AllocateTensors() { return kTfLiteOk; }
  TfLiteStatus Invoke() { return kTfLiteOk; }
  TfLiteTensor* input(std::size_t) { return nullptr; }
  TfLiteTensor* output(std::size_t) { return nullptr; }
};
}""",
    "tensorflow/lite/schema/schema_generated.h": """
#pragma once
#include "tensorflow/lite/micro/micro_interpreter.h"
namespace tflite { inline const Model* GetModel(const void*) { return nullptr; } }
""",
}
"""The declarations of TensorFlow Lite Micro that are called, in place of its headers, which no package brings."""


@needs_compiler
def test_what_calls_the_interpreter_fits_its_declarations(tmp_path: Path) -> None:
    write_project(bundle(FrontEnd()), tmp_path)
    for name, text in TFLM.items():
        path = tmp_path / "tflm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-DPENJING_TFLM", "-Itflm"]
    flags.append("-DKEYWORD_SPOTTING_ARENA_BYTES=24000")
    assert COMPILER is not None
    subprocess.run([COMPILER, *flags, "main.cc"], cwd=tmp_path, check=True)


@needs_compiler
def test_the_makefile_builds_it_and_the_program_says_what_is_wrong(tmp_path: Path) -> None:
    write_project(bundle(FrontEnd()), tmp_path)
    if shutil.which("make") is None:
        pytest.skip("no make here")
    subprocess.run(["make", "CXXFLAGS=-O0"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "text.wav").write_text("no recording")
    for arguments, message in (
        ([], "usage"),
        (["text.wav"], "not a wav file of one channel, 16 bit, 16000 Hz"),
        ([synthetic_clip(tmp_path / "wrong.wav", 8_000)], "not a wav file"),
        ([synthetic_clip(tmp_path / "clip.wav", 16_000)], "built without an interpreter"),
    ):
        done = subprocess.run(
            [tmp_path / "spot", *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert done.returncode == 2 and message in done.stderr


def test_bundles_that_it_cannot_write_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes or gives float32"):
        write_project(bundle(FrontEnd(), dtype="float32"), tmp_path)
    with pytest.raises(UsageError, match="not 'keyword-spotting'"):
        write_project(bundle(FrontEnd(), domain="model"), tmp_path)
    assert not list(tmp_path.iterdir())
