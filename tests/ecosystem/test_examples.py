"""The plugins under `examples/`, each built as a wheel, installed apart, and tested by its own tests."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.parent for path in CHECKOUT.glob("examples/*/pyproject.toml"))


def installed(example: Path, site: Path) -> dict[str, str]:
    """The environment of a process that finds the example's wheel, and nothing of its sources."""
    wheels = site.parent / "wheels"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(example)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "MLFLOW_ALLOW_FILE_STORE": "true"}


def run_tests(example: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = installed(example, tmp_path / "site")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(example / "tests"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)


def test_there_is_an_example_of_each_kind() -> None:
    hooks = {
        hook
        for example in EXAMPLES
        for path in example.glob("src/*/plugin.py")
        for hook in ("penjing_domains", "penjing_techniques", "penjing_exporters", "penjing_run_finished")
        if f"def {hook}(" in path.read_text(encoding="utf-8")
    }
    assert len(hooks) == 4


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_passes_its_own_tests(example: Path, tmp_path: Path) -> None:
    done = run_tests(example, tmp_path, "-k", "not conformance")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "skipped" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_passes_the_conformance_kit(example: Path, tmp_path: Path) -> None:
    done = run_tests(example, tmp_path, "-k", "conformance")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
