"""The shipped bundle is packed from two runs: the file of one, the figures of the other, each named as what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from penjing.bundle import write_bundle
from penjing.contract import ExportSettings
from penjing.errors import CheckFailedError, UsageError
from penjing.export.litert import to_litert
from penjing.runtime import load_bundle
from penjing_keyword_spotting import pretrain

ACCURACY = {"estimate": 0.9, "low": 0.85, "high": 0.95, "method": "bootstrap by group", "n": 647}


@pytest.fixture(scope="module")
def content() -> bytes:
    inputs = keras.Input((4,))
    return to_litert(keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs)), ExportSettings())


@pytest.fixture
def make_run(tmp_path: Path, content: bytes) -> Callable[..., Path]:
    """Makes a run folder with a real bundle: (name, clips of training, validation and test, accuracy, labels)."""

    def make(
        name: str,
        parts: tuple[int, int, int],
        accuracy: dict,
        labels: tuple[str, ...] = ("no", "yes"),
        tail: bytes = b"",
        flash: int = 2_000,
        drop: float = 0.01,
    ) -> Path:
        entry = {"meaning": "", "shape": [1, 4], "scale": 0.0, "zero_point": 0, "dtype": "float32"}
        fields = {
            "domain": "keyword-spotting",
            "name": "pretrained",
            "task": "classification",
            "labels": list(labels),
            "inputs": [entry],
            "outputs": [entry],
            "recipe": 'name = "pretrained"\n',
            "lineage": {
                "data_source": "speech_commands",
                "data_sha256": "0" * 64,
                "synthetic": False,
                "seed": 0,
                "versions": {},
                "steps": [],
                "created": "2026-01-01T00:00:00+00:00",
            },
            "budget": [
                {"limit": "flash_bytes", "value": 24_000, "measured": flash, "holds": True},
                {"limit": "drop", "value": 0.02, "measured": drop, "holds": True},
            ],
            "metrics": {"accuracy": accuracy, "stream[threshold]": {"estimate": 0.7}},
        }
        write_bundle(tmp_path / name / "bundle", content + tail, fields)
        data = dict(zip(("train", "validation", "test"), parts, strict=True))
        (tmp_path / name / "metrics.json").write_text(json.dumps({"data": data}))
        return tmp_path / name

    return make


def test_the_file_is_of_the_second_run_and_the_figures_of_the_first(make_run, tmp_path: Path) -> None:
    measured = make_run("measured", (3000, 574, 647), ACCURACY)
    final = make_run("final", (4160, 29, 32), {"estimate": 1.0, "n": 32}, tail=b"\0" * 8, flash=2_008, drop=-0.3)
    pretrain.pack(measured, final, tmp_path / "shipped")
    bundle = load_bundle(tmp_path / "shipped")  # checks every hash
    assert bundle.model_bytes == (final / "bundle/model.tflite").read_bytes()
    accuracy = bundle.manifest.metrics["accuracy"]
    assert (accuracy.estimate, accuracy.low, accuracy.n) == (0.9, 0.85, 647)
    assert accuracy.method == "bootstrap by group; of the same recipe trained on 3,000 clips"
    assert bundle.manifest.metrics["stream[threshold]"].estimate == 0.7
    budget = {entry.limit: (entry.measured, entry.note) for entry in bundle.manifest.budget}
    assert budget == {"flash_bytes": (2_008, ""), "drop": (0.01, "of the same recipe trained on 3,000 clips")}
    source = bundle.manifest.lineage.data_source
    assert "4,160 of 4,221 clips" in source and "3,000 clips of the training part" in source
    assert "speakers it had not heard" in source


def test_the_notice_says_what_the_licence_asks_for(make_run, tmp_path: Path) -> None:
    pretrain.pack(make_run("a", (3, 1, 1), ACCURACY), make_run("b", (3, 1, 1), ACCURACY), tmp_path / "shipped")
    notice = load_bundle(tmp_path / "shipped").files["NOTICE.txt"].decode()
    for part in ("Warden", "Speech Commands", "creativecommons.org/licenses/by/4.0", "Changes: 5 clips", "warranty"):
        assert part in notice


def test_an_older_bundle_is_replaced_and_nothing_else_is_left(make_run, tmp_path: Path) -> None:
    runs = make_run("a", (3, 1, 1), ACCURACY), make_run("b", (4, 1, 1), ACCURACY)
    before = set(tmp_path.iterdir())
    for _ in range(2):
        pretrain.pack(*runs, tmp_path / "shipped")
    assert set(tmp_path.iterdir()) - before == {tmp_path / "shipped"}
    assert {path.name for path in (tmp_path / "shipped").iterdir()} == {"bundle.json", "model.tflite", "NOTICE.txt"}


def test_runs_of_other_words_are_not_packed_together(make_run, tmp_path: Path) -> None:
    other = make_run("b", (3, 1, 1), ACCURACY, labels=("go", "stop"))
    with pytest.raises(UsageError, match="different labels"):
        pretrain.pack(make_run("a", (3, 1, 1), ACCURACY), other, tmp_path / "shipped")
    assert not (tmp_path / "shipped").exists()


def test_a_run_that_fails_ends_the_command_and_says_that_it_can_go_on(tmp_path: Path, capfd) -> None:
    with pytest.raises(CheckFailedError, match="exit code 2"):
        pretrain.run(tmp_path / "nowhere", tmp_path / "out", 0, 0.02, [])
    assert pretrain.main(["--data", str(tmp_path / "nowhere"), "--output", str(tmp_path / "out")]) == 1
    shown = capfd.readouterr().err
    assert "nowhere" in shown and "what is done is not done twice" in shown and "Traceback" not in shown
    assert not (tmp_path / "out/bundle").exists()
