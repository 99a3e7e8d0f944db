"""A stranger's first command, and everything that can be done with what it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile

import penjing
from penjing.report import load_metrics_schema
from penjing_datasets.speech_synthesis import generate_speech


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A word of a voice that the run has not heard, at another rate."""
    sample = generate_speech(voices=1, seed=99)
    path = tmp_path_factory.mktemp("wav") / "yes.wav"
    soundfile.write(path, np.repeat(sample.waveforms[list(sample.classes).index("yes")], 3), 48_000)
    return path


def test_the_printed_document_is_metrics_json_and_fits_its_schema(kws_run) -> None:
    folder, document, done = kws_run
    assert document == json.loads((folder / "metrics.json").read_text())
    jsonschema.validate(document, load_metrics_schema())
    assert "Traceback" not in done.stderr
    assert document["domain"] == "keyword-spotting" and document["data"]["synthetic"]
    assert document["recipe"]["steps"] == ["distill", "quantize-aware-training", "distill"]
    assert document["primary_metric"] == "accuracy"
    losses = json.loads((folder / "reference/outcome.json").read_text())["history"]["loss"]
    assert len(losses) == 12 and losses[-1] < 0.95 * losses[0]  # it learns, as far as a short run can
    assert document["conformance"]["missing"] == {}


def test_flash_is_the_size_of_the_file_and_the_bundle_is_of_this_run(kws_run) -> None:
    folder, document, _ = kws_run
    bundle = penjing.load_bundle(folder / "bundle")
    assert document["compressed"]["flash_bytes"] == (folder / "bundle/model.tflite").stat().st_size
    assert bundle.manifest.lineage.data_sha256 == document["data"]["sha256"]
    assert bundle.manifest.lineage.synthetic
    assert bundle.manifest.inputs[0].dtype == bundle.manifest.outputs[0].dtype == "int8"
    steps = [step.technique for step in bundle.manifest.lineage.steps]
    assert steps == ["distill", "quantize-aware-training", "distill"]
    assert {line["limit"]: line["holds"] for line in document["budget"]} == {
        "flash_bytes": True,
        "drop": True,
        "arena_bytes": True,
    }


def test_the_run_folder_is_complete(kws_run) -> None:
    folder, _, _ = kws_run
    names = {path.name for path in folder.iterdir()}
    assert {"run.json", "recipe.toml", "reference.keras", "steps", "bundle", "report.html", "metrics.json"} <= names
    assert list((folder / "tensorboard").rglob("events.out.tfevents.*"))
    assert not [path for path in folder.rglob("*") if ".part" in path.name]
    assert penjing.Recipe.load(folder / "recipe.toml").reference["epochs"] == 12


def test_resuming_a_finished_run_prints_it_again(kws_run, short_command) -> None:
    folder, document, _ = kws_run
    before = (folder / "metrics.json").stat().st_mtime_ns
    command = short_command(folder, "--json", "--budget", "flash=40KB,arena=80KB,drop=0.5", "--resume")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == document
    assert (folder / "metrics.json").stat().st_mtime_ns == before


def test_a_run_is_not_overwritten_unasked(kws_run, run_penjing) -> None:
    done = run_penjing("keyword-spotting", "run", "--output", kws_run[0])
    assert done.returncode == 2
    assert "--resume" in done.stderr and "--overwrite" in done.stderr


def test_a_word_is_predicted_and_a_stream_searched(kws_run, run_penjing, wav: Path, tmp_path: Path) -> None:
    folder, _, _ = kws_run
    predict = ("keyword-spotting", "predict", wav, "--bundle", folder / "bundle")
    done = run_penjing(*predict, "--top", "8", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["predictions"]
    assert len(rows) == 8 and sum(row["probability"] for row in rows) == pytest.approx(1, abs=0.05)
    assert rows == sorted(rows, key=lambda row: -row["probability"])
    long = tmp_path / "long.flac"
    soundfile.write(long, np.random.default_rng(0).normal(0, 0.01, 16_000 * 5), 16_000)
    done = run_penjing(
        "keyword-spotting", "predict", long, "--bundle", folder, "--stream", "--threshold", "0.05", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert all(1.0 <= row["seconds"] <= 5.0 for row in json.loads(done.stdout)["predictions"])


def test_what_is_no_recording_is_refused(kws_run, run_penjing, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not a recording")
    for name in ("text.wav", "missing.wav"):
        done = run_penjing("keyword-spotting", "predict", tmp_path / name, "--bundle", kws_run[0])
        assert done.returncode == 2
        assert name in done.stderr and "Traceback" not in done.stderr


def test_predicting_needs_no_run_of_ones_own(run_penjing, wav: Path, tmp_path: Path) -> None:
    done = run_penjing("keyword-spotting", "predict", wav, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["predictions"]) == 3


def test_verify_measures_anew_and_notices_a_changed_file(kws_run, run_penjing, tmp_path: Path) -> None:
    import shutil

    folder, document, _ = kws_run
    done = run_penjing("verify", folder / "bundle", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    checked = json.loads(done.stdout)
    measured = {line["limit"]: line["measured"] for line in checked["budget"]}
    assert measured["flash_bytes"] == document["compressed"]["flash_bytes"]
    assert measured["arena_bytes"] == document["compressed"]["arena_bytes"]
    shutil.copytree(folder / "bundle", tmp_path / "bundle")
    model = tmp_path / "bundle/model.tflite"
    content = bytearray(model.read_bytes())
    content[-5] ^= 1
    model.write_bytes(content)
    done = run_penjing("verify", tmp_path / "bundle")
    assert done.returncode == 2
    assert "not the file that the bundle was written with" in done.stderr


def test_inspect_agrees_with_the_run(kws_run, run_penjing) -> None:
    folder, document, _ = kws_run
    looked = json.loads(run_penjing("inspect", folder / "bundle", "--json").stdout)
    for key in ("flash_bytes", "zip_bytes", "arena_bytes", "macs"):
        assert looked[key] == document["compressed"][key]
    assert sum(looked["bytes_by_kind"].values()) == looked["flash_bytes"]


def test_evaluate_reads_the_same_test_part_again(kws_run, run_penjing) -> None:
    folder, document, _ = kws_run
    done = run_penjing("keyword-spotting", "evaluate", "--bundle", folder / "bundle", "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert again["metrics"]["accuracy"] == document["compressed"]["metrics"]["accuracy"]
    assert again["intervals"]["accuracy"] == document["compressed"]["intervals"]["accuracy"]


def test_the_table_for_a_person_says_what_matters(kws_run, run_penjing) -> None:
    folder, document, _ = kws_run
    text = run_penjing("keyword-spotting", "report", "--output", folder).stdout
    assert "SYNTHETIC" in text
    assert f"{document['compressed']['flash_bytes']:,} B" in text
    assert "recall[yes]" in text and "budget: flash at most 40,000 B" in text
    assert "Within the budget" in text and "report.html" in text


def test_outside_its_budget_a_run_ends_with_1(kws_run, short_command) -> None:
    folder, _, _ = kws_run
    command = short_command(folder, "--budget", "flash=1KB", "--resume", "--quiet")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Outside the budget: flash" in done.stdout


def test_another_seed_gives_another_file_and_the_same_seed_the_same(kws_run, short_command, tmp_path: Path) -> None:
    folder, _, _ = kws_run

    def file_of(run: Path) -> str:
        return hashlib.sha256((run / "steps/03-distill/model.tflite").read_bytes()).hexdigest()

    digests = []
    for seed in ("0", "1"):
        command = short_command(tmp_path / seed, "--quiet", "--seed", seed)
        command[command.index("run")] = "compress"  # the verification adds nothing to the file
        # Each with a cache of its own, so that the teacher is trained again.
        env = {**os.environ, "PENJING_CACHE": str(tmp_path / f"cache-{seed}")}
        subprocess.run(command, check=True, capture_output=True, env=env)
        digests.append(file_of(tmp_path / seed))
    assert digests[0] == file_of(folder) != digests[1]


def test_a_teachers_wrong_option_is_refused_before_anything_is_trained(short_command, tmp_path: Path) -> None:
    command = short_command(tmp_path / "run", "--set", "steps.1.teacher.augment_options={filter_dp=3.0}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "filter_dp" in done.stderr and "filter_db" in done.stderr
    assert "step 1, setting 'teacher.augment_options'" in done.stderr
    assert "training" not in done.stderr


def test_data_says_what_is_in_it(run_penjing) -> None:
    done = run_penjing("keyword-spotting", "data", "--set", "data.voices=4", "--json", "--quiet")
    document = json.loads(done.stdout)
    assert sum(part["examples"] for part in document["parts"].values()) == 96
    assert document["parts"]["train"]["classes"]["yes"] == 3 * document["parts"]["train"]["groups"]


def test_explain_names_every_layer_before_anything_is_trained(run_penjing) -> None:
    done = run_penjing("explain", "keyword-spotting", "--recipe", "smallest", "--json")
    assert done.returncode == 0, done.stderr
    steps = {step["technique"]: step["layers"] for step in json.loads(done.stdout)["steps"]}
    pruned = {row["layer"]: row["change"] for row in steps["prune-channels"]}
    assert "channels" in pruned["front2"]
    assert any("int8" in row["change"] or "8-bit" in row["change"] for row in steps["quantize-aware-training"])


@pytest.mark.slow
def test_on_real_recordings_the_default_recipe_is_right_nine_times_in_ten_in_24_kb(
    run_penjing, penjing_data: Path, tmp_path: Path
) -> None:
    data = penjing_data / "keyword_spotting/speech_commands"
    done = run_penjing("keyword-spotting", "run", "--data", data, "--output", tmp_path / "run", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["data"]["synthetic"] is False
    assert [document["data"][part] for part in ("train", "validation", "test")] == [3000, 574, 647]
    assert document["compressed"]["metrics"]["accuracy"] >= 0.90
    assert document["compressed"]["flash_bytes"] <= 24_000
