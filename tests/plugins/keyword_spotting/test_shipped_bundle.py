"""The bundle in the wheel: as small as promised, attributed, run without TensorFlow, the same in every runtime.

Its accuracy on new speakers is not tested here: it was trained on nearly all of the clips in PENJING_DATA, so that what
it gets right of those says nothing. What it knows of them must survive every runtime all the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import soundfile

from penjing.contract import DataRequest, Split, Splits
from penjing.measure.tflm import measure_arena, run_tflm, tflm_is_installed
from penjing.runtime import LiteRTModel, LoadedBundle, load_bundle
from penjing_keyword_spotting.data import load_data
from penjing_keyword_spotting.plugin import KEYWORD_SPOTTING

WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
FLASH_BYTES = ARENA_BYTES = 24_000
LEAST_AGREEMENT = 0.995


@pytest.fixture(scope="module")
def bundle() -> LoadedBundle:
    package, _, folder = KEYWORD_SPOTTING.pretrained.partition(":")
    return load_bundle(Path(str(resources.files(package).joinpath(folder))))


@pytest.fixture(scope="module")
def recordings(penjing_data: Path) -> Splits:
    return load_data(DataRequest(path=penjing_data / "keyword_spotting/speech_commands"))


def features(bundle: LoadedBundle, part: Split, count: int) -> tuple[np.ndarray, np.ndarray]:
    from penjing_keyword_spotting.features import preprocess

    return preprocess(part.raw[:count], bundle.preprocessing), part.y[:count]


def test_it_is_an_int8_file_of_at_most_24_kb(bundle: LoadedBundle) -> None:
    assert len(bundle.model_bytes) <= FLASH_BYTES
    assert {bundle.model.inputs[0].dtype, bundle.model.outputs[0].dtype} == {"int8"}


@pytest.mark.skipif(not tflm_is_installed(), reason="tflite-micro is not installed")
def test_its_arena_is_at_most_24_kb(bundle: LoadedBundle) -> None:
    arena = measure_arena(bundle.model_bytes)
    assert arena.arena_bytes is not None and arena.arena_bytes <= ARENA_BYTES


def test_it_knows_the_fields_twelve_classes(bundle: LoadedBundle) -> None:
    assert bundle.labels == (*WORDS, "_silence_", "_unknown_")
    assert bundle.manifest.domain == "keyword-spotting"


def test_it_says_whose_recordings_it_learned_from_and_what_was_changed(bundle: LoadedBundle) -> None:
    notice = bundle.files["NOTICE.txt"].decode()
    licence = ("Creative Commons Attribution 4.0", "creativecommons.org/licenses/by/4.0")
    for part in ("Warden", "2018", *licence, "Changes"):
        assert part in notice
    assert "CC BY 4.0" in bundle.manifest.data_license
    assert not bundle.manifest.lineage.synthetic


def test_it_says_which_clips_its_figures_are_of(bundle: LoadedBundle) -> None:
    accuracy = bundle.manifest.metrics["accuracy"]
    assert accuracy.n == 647 and accuracy.low < accuracy.estimate < accuracy.high
    assert "trained on 3,000 clips" in accuracy.method
    assert "had not heard" in bundle.manifest.lineage.data_source
    assert 0 < bundle.manifest.metrics["stream[threshold]"].estimate < 1


def test_the_steps_are_those_of_the_recipe_that_the_package_has(bundle: LoadedBundle) -> None:
    from penjing.recipe import Recipe

    package, _, path = KEYWORD_SPOTTING.recipes["pretrained"].partition(":")
    recipe = Recipe.from_toml(resources.files(package).joinpath(path).read_text())
    assert [step.technique for step in bundle.manifest.lineage.steps] == [step.technique for step in recipe.steps]
    used = Recipe.from_toml(bundle.manifest.recipe)
    assert (used.steps, used.reference, used.augment) == (recipe.steps, recipe.reference, recipe.augment)


def test_predict_works_from_anywhere_and_imports_no_tensorflow(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hush.wav", np.random.default_rng(0).normal(0, 1e-3, 16_000), 16_000)
    code = (
        "import sys\n"
        "from penjing.commands.main import main\n"
        "try:\n"
        "    main(['keyword-spotting', 'predict', 'hush.wav', '--json'])\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)["predictions"][0]
    assert (first["rank"], first["word"]) == (1, "_silence_")


def test_all_runtimes_decide_alike(bundle: LoadedBundle, recordings: Splits) -> None:
    x, _ = features(bundle, recordings.test, len(recordings.test))
    decided = LiteRTModel(bundle.model_bytes, kernels="reference").predict(x).argmax(axis=1)
    assert np.mean(bundle.predict(x).argmax(axis=1) == decided) >= LEAST_AGREEMENT  # XNNPACK
    if not tflm_is_installed():
        pytest.skip("tflite-micro is not installed")
    entry = bundle.model.inputs[0]
    quantized = np.clip(np.round(x / entry.scale) + entry.zero_point, -128, 127).astype(np.int8)
    outputs, reason = run_tflm(bundle.model_bytes, [quantized[:200]], seconds=30)
    assert outputs is not None, reason
    assert np.mean(outputs.argmax(axis=1) == decided[: len(outputs)]) >= LEAST_AGREEMENT


def test_the_clips_that_it_learned_from_are_recognised(bundle: LoadedBundle, recordings: Splits) -> None:
    x, y = features(bundle, recordings.train, len(recordings.train))
    assert np.mean(bundle.predict(x).argmax(axis=1) == y) >= 0.96
