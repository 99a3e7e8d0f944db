"""Installed from wheels into an empty environment outside the checkout, everything works; without TensorFlow, what a
device needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import soundfile

from penjing_datasets.speech_synthesis import generate_speech

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECTS = ("core", "datasets", "plugins/fraud_detection", "plugins/keyword_spotting")


def quietly(command: list[str | Path], **options) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The four wheels, built from the checkout's files."""
    folder = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder]
    quietly([*build, *(CHECKOUT / project for project in PROJECTS)])
    found = sorted(folder.glob("*.whl"))
    names = [path.name.split("-")[0] for path in found]
    assert names == ["penjing", "penjing_datasets", "penjing_fraud_detection", "penjing_keyword_spotting"]
    return found


def environment(folder: Path, packages: list[str | Path]) -> Path:
    """A new virtual environment; returns its folder of commands."""
    quietly([sys.executable, "-m", "venv", folder])
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    install = [commands / "python", "-m", "pip", "install", "--quiet", "-c", CHECKOUT / "constraints.txt"]
    quietly([*install, *packages])
    return commands


@pytest.fixture(scope="session")
def device(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Commands of an environment with the wheels and nothing else."""
    return environment(tmp_path_factory.mktemp("device") / "venv", list(wheels))


def outside(tmp_path: Path) -> dict:
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PENJING_CACHE")}
    return {"cwd": tmp_path, "env": {**env, "PENJING_CACHE": str(tmp_path / "cache")}}


def test_the_core_holds_its_templates_of_plugins(wheels: list[Path]) -> None:
    templates = CHECKOUT / "core/src/penjing/scaffold/templates"
    expected = {f"penjing/scaffold/templates/{p.relative_to(templates)}" for p in templates.rglob("*") if p.is_file()}
    core = next(path for path in wheels if path.name.startswith("penjing-"))
    with zipfile.ZipFile(core) as archive:
        assert expected and expected <= set(archive.namelist())


def test_there_is_no_tensorflow_and_the_domain_is_there(device: Path, tmp_path: Path) -> None:
    absent = subprocess.run(
        [device / "python", "-c", "import tensorflow"], capture_output=True, check=False, **outside(tmp_path)
    )
    assert absent.returncode != 0
    assert "keyword-spotting" in quietly([device / "penjing", "--help"], **outside(tmp_path)).stdout
    domains = json.loads(quietly([device / "penjing", "domains", "--json"], **outside(tmp_path)).stdout)
    assert [domain["name"] for domain in domains] == ["fraud-detection", "keyword-spotting"]


def test_a_word_is_predicted_without_tensorflow_as_with_it(device: Path, kws_run, run_penjing, tmp_path: Path) -> None:
    bundle = kws_run[0] / "bundle"
    sample = generate_speech(voices=1, seed=7)
    files = []
    for word in ("yes", "down"):
        files.append(tmp_path / f"{word}.wav")
        soundfile.write(files[-1], sample.waveforms[list(sample.classes).index(word)], 16_000)
    arguments = ["keyword-spotting", "predict", *files, "--bundle", bundle, "--json"]
    light = json.loads(quietly([device / "penjing", *arguments], **outside(tmp_path)).stdout)
    full = json.loads(run_penjing(*arguments).stdout)
    assert light["predictions"] == full["predictions"]
    assert len(light["predictions"]) == 6


def test_the_wheel_carries_a_bundle_so_that_predicting_just_works(device: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hush.wav", [0.0] * 16_000, 16_000)
    done = quietly([device / "penjing", "keyword-spotting", "predict", "hush.wav", "--json"], **outside(tmp_path))
    document = json.loads(done.stdout)
    assert document["predictions"][0]["word"] == "_silence_"
    assert str(device.parent) in document["bundle"]


def test_a_bundle_runs_from_python_without_tensorflow(device: Path, kws_run, tmp_path: Path) -> None:
    code = (
        "import sys, numpy, penjing\n"
        "bundle = penjing.load_bundle(sys.argv[1])\n"
        "outputs = bundle.predict(numpy.zeros((2, *bundle.model.inputs[0].shape[1:]), 'float32'))\n"
        "assert outputs.shape == (2, len(bundle.labels))\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    quietly([device / "python", "-c", code, kws_run[0] / "bundle"], **outside(tmp_path))


def test_what_needs_more_says_how_to_get_it(device: Path, kws_run, tmp_path: Path) -> None:
    for arguments in (
        ["keyword-spotting", "run", "--output", tmp_path / "run", "--set", "data.voices=4"],
        ["compress", tmp_path / "model.keras", "--data", tmp_path / "data.npz"],
    ):
        (tmp_path / "model.keras").touch()
        import numpy as np

        np.savez(tmp_path / "data.npz", x=np.zeros((9, 2)), y=np.arange(9) % 2)
        done = subprocess.run(
            [device / "penjing", *map(str, arguments)], capture_output=True, text=True, check=False, **outside(tmp_path)
        )
        assert done.returncode == 2
        assert "pip install 'penjing[compress]'" in done.stderr
        assert "Traceback" not in done.stderr
    # The arena needs tflite-micro, all else can be looked at.
    document = json.loads(
        quietly([device / "penjing", "inspect", kws_run[0] / "bundle", "--json"], **outside(tmp_path)).stdout
    )
    assert document["arena_bytes"] is None and "penjing[microcontroller]" in document["arena_note"]
    assert document["flash_bytes"] > 0


@pytest.mark.slow
def test_from_wheels_with_everything_a_whole_run_works(
    wheels: list[Path], short_command, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    core = next(path for path in wheels if path.name.startswith("penjing-"))
    commands = environment(
        tmp_path_factory.mktemp("full") / "venv",
        [f"penjing[compress,microcontroller] @ {core.as_uri()}", *(path for path in wheels if path != core)],
    )
    command = short_command(tmp_path / "run", "--json", "--budget", "drop=0.9")
    done = quietly([commands / "python", *command[1:]], **outside(tmp_path))
    assert json.loads(done.stdout)["compressed"]["arena_bytes"] > 0
