"""One short run of keyword spotting, made by the command line, for all tests that look at what a run leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SHORT = (
    "data.voices=12",
    "augment.copies=2",
    "augment.mixup=0.0",
    "model.filters=24",
    "model.blocks=2",
    "teacher.filters=24",
    "teacher.blocks=2",
    "reference.epochs=12",
    "reference.batch_size=16",
    "reference.min_updates=0",
    "steps.1.epochs=3",
    "steps.1.min_updates=0",
    "steps.2.epochs=1",
    "steps.2.min_updates=0",
    "steps.2.calibration_examples=50",
    "steps.3.epochs=1",
    "steps.3.min_updates=0",
    *(
        f"steps.{step}.teacher.{setting}"
        for step in (1, 3)
        for setting in ("epochs=5", "min_updates=0", "batch_size=16", "members=1")
    ),
)


def _command(output: Path, *more: str) -> list[str]:
    settings = [part for setting in SHORT for part in ("--set", setting)]
    verb = [sys.executable, "-m", "penjing", "keyword-spotting", "run"]
    return [*verb, "--output", str(output), *settings, *more]


@pytest.fixture(scope="session")
def short_command() -> Callable[..., list[str]]:
    """Makes the command of a `keyword-spotting run` of a quarter of a minute: (output, *more options)."""
    return _command


@pytest.fixture(scope="session")
def kws_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, subprocess.CompletedProcess[str]]:
    """(run folder, the JSON document that was printed, the finished process)."""
    output = tmp_path_factory.mktemp("kws") / "run"
    done = subprocess.run(
        _command(output, "--json", "--budget", "flash=40KB,arena=80KB,drop=0.5"),
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return output, json.loads(done.stdout), done
