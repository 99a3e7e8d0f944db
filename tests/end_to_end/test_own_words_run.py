"""A stranger's folder, by the command line: twenty real clips a word at 8 kHz, some of them broken, become a bundle."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest
import soundfile

from penjing_datasets.audio import read_audio, resample

ARCHIVE = "keyword_spotting/speech_commands/speech_commands_v0.02_12class.tar.xz"
RECIPE = """
name = "tiny"
[data]
stream_hours = 0.05
clips_in_report = 3
[reference]
epochs = 25
batch_size = 16
learning_rate = 3e-3
[[steps]]
technique = "quantize"
mode = "int8"
calibration_examples = 50
"""


@pytest.fixture(scope="module")
def own_run(penjing_data: Path, tmp_path_factory: pytest.TempPathFactory, run_penjing) -> tuple[Path, dict]:
    """(run folder, metrics.json) of a run on a folder of yes, no and stop."""
    if not (penjing_data / ARCHIVE).is_file():
        pytest.skip(f"no {ARCHIVE} in {penjing_data}")
    base = tmp_path_factory.mktemp("own")
    counts = dict.fromkeys(("yes", "no", "stop"), 0)
    with tarfile.open(penjing_data / ARCHIVE) as archive:
        for member in archive:
            parts = member.name.split("/")
            if len(parts) > 1 and counts.get(parts[-2], 20) < 20 and (file := archive.extractfile(member)):
                path = base / "words" / parts[-2] / parts[-1]
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, resample(read_audio(file.read(), 16_000), 16_000, 8_000), 8_000)
                counts[parts[-2]] += 1
            if set(counts.values()) == {20}:
                break
    (base / "words/yes/broken_nohash_0.wav").write_text("this is text")
    (base / "tiny.toml").write_text(RECIPE)
    done: subprocess.CompletedProcess[str] = run_penjing(
        "keyword-spotting", "run", "--data", base / "words", "--recipe", base / "tiny.toml", "--output", base / "run",
        "--budget", "flash=64KB,drop=0.9", "--json", "--quiet"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return base / "run", json.loads(done.stdout)


def test_the_run_says_what_it_found_and_what_few_clips_mean(own_run: tuple[Path, dict]) -> None:
    _, metrics = own_run
    notes = " ".join(metrics["data"]["notes"])
    assert "1 broken files skipped: yes/broken_nohash_0.wav" in notes
    assert "the 95 % interval is" in notes and "no class _unknown_" in notes and "split by speaker" in notes
    assert sum(metrics["data"][part] for part in ("train", "validation", "test")) == 60


def test_figures_of_streams_come_with_hours_words_and_intervals(own_run: tuple[Path, dict]) -> None:
    _, metrics = own_run
    for model in ("reference", "compressed"):
        figures = metrics[model]["metrics"]
        assert figures["stream[hours]"] == pytest.approx(0.05) and figures["stream[words]"] > 0
        assert "bootstrap of the clips" in metrics[model]["intervals"]["stream[false_accepts_per_hour]"]["method"]
        assert metrics[model]["intervals"]["stream[false_reject_share]"]["n"] == figures["stream[words]"]
        assert {"rejects_at[1 an hour]", "in_noise[10 dB accuracy]", "in_noise[0 dB found]"} <= set(figures)


def test_conformance_over_every_runtime_is_part_of_the_run(own_run: tuple[Path, dict]) -> None:
    _, metrics = own_run
    pairs = {tuple(pair["runtimes"]): pair for pair in metrics["conformance"]["pairs"]}
    assert pairs[("LiteRT reference", "XNNPACK")]["equal_decisions"] >= 0.9
    assert any("Keras" in names for names in pairs)
    assert "TFLM" in metrics["conformance"]["missing"] or any("TFLM" in names for names in pairs)


def test_the_report_has_the_domains_sections(own_run: tuple[Path, dict]) -> None:
    page = (own_run[0] / "report.html").read_text()
    for title in ("On a stream", "In noise", "Each word, before and after", "By speaker", "Hardest clips"):
        assert f"<h2>{title}</h2>" in page
    assert len(page) < 1_500_000


def test_the_bundle_hears_recordings_of_any_rate(own_run: tuple[Path, dict], run_penjing, tmp_path: Path) -> None:
    folder, _ = own_run
    words = sorted((folder.parent / "words/stop").iterdir())[0]
    samples = read_audio(words, 8_000)
    soundfile.write(tmp_path / "high.flac", resample(samples, 8_000, 48_000), 48_000)
    done = run_penjing(
        "keyword-spotting", "predict", words, tmp_path / "high.flac", "--bundle", folder, "--top", "1", "--json"
    )
    assert done.returncode == 0, done.stderr
    low, high = json.loads(done.stdout)["predictions"]
    assert low["word"] == high["word"]


def test_words_on_a_stream_use_the_bundles_operating_point(own_run: tuple[Path, dict], run_penjing) -> None:
    folder, metrics = own_run
    bundle = json.loads((folder / "bundle/bundle.json").read_text())
    for name in ("stream[threshold]", "stream[smoothed_looks]"):
        assert bundle["metrics"][name]["estimate"] == metrics["compressed"]["metrics"][name]
    clip = sorted((folder.parent / "words/stop").iterdir())[0]
    done = run_penjing("keyword-spotting", "predict", clip, "--stream", "--bundle", folder, "--threshold", "0.01")
    assert done.returncode == 0 and "seconds" in done.stdout


def test_the_microphone_needs_its_extra_or_a_device(own_run: tuple[Path, dict], run_penjing) -> None:
    arguments = ("--microphone", "--device", "no such microphone", "--bundle", own_run[0])
    done = run_penjing("keyword-spotting", "predict", *arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert (
        "penjing-keyword-spotting[microphone]" in done.stderr
        or "PortAudio" in done.stderr
        or "cannot be" in done.stderr
    )
