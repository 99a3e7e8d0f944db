"""For the last training speakers of validation and test join training: whole, few stay, and the run says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from penjing.contract import DataRequest
from penjing.errors import RecipeError
from penjing_keyword_spotting.data import load_data
from penjing_keyword_spotting.refit import join_training

PARTS = ("train", "validation", "test")


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(1, 3)), min_size=1, max_size=60),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_speakers_move_whole_into_training_alone_and_each_part_keeps_one(clips, share: float, seed: int) -> None:
    groups = np.array([f"s{speaker}" for speaker, count in clips for _ in range(count)])
    parts = np.array([PARTS[int(name[1:]) % 3] for name in groups])
    moved = join_training(parts, groups, share, seed)
    changed = moved != parts
    assert (moved[changed] == "train").all() and not changed[parts == "train"].any()
    for part in ("validation", "test"):
        before, after = set(groups[parts == part]), set(groups[moved == part])
        assert not after & set(groups[moved == "train"])
        assert len(before - after) == min(round(share * len(before)), max(len(before) - 1, 0))


def test_the_order_of_the_clips_decides_nothing_and_the_seed_who_goes() -> None:
    groups = np.array([f"s{number}" for number in range(200)])
    parts = np.array(["validation", "test"] * 100)
    order = np.random.default_rng(0).permutation(200)
    moved = join_training(parts, groups, 0.5, 0)
    assert np.array_equal(moved[order], join_training(parts[order], groups[order], 0.5, 0))
    assert not np.array_equal(moved, join_training(parts, groups, 0.5, 1))


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips") / "mine"
    generator = np.random.default_rng(0)
    rows = ["path,class,speaker,split"]
    for word in ("open", "close"):
        (folder / word).mkdir(parents=True)
        for speaker in range(24):
            name = f"{word}/s{speaker:02d}_0.wav"
            soundfile.write(folder / name, generator.normal(0, 0.1, 16_000), 16_000)
            rows.append(f"{name},{word},s{speaker:02d},{PARTS[speaker % 3]}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


def test_a_run_on_nearly_all_clips_keeps_speakers_apart_and_says_what_its_figures_are_worth(collection: Path) -> None:
    plain = load_data(DataRequest(path=collection))
    refit = load_data(DataRequest(path=collection, options={"refit_share": 0.75}))
    assert [len(part) for part in (plain.train, plain.validation, plain.test)] == [16, 16, 16]
    assert [len(part) for part in (refit.train, refit.validation, refit.test)] == [40, 4, 4]
    assert not set(refit.train.groups) & {*refit.validation.groups, *refit.test.groups}
    assert any("moved into training" in note for note in refit.notes)
    assert not any("moved into training" in note for note in plain.notes)


def test_more_than_all_of_them_cannot_join(collection: Path) -> None:
    with pytest.raises(RecipeError, match="refit_share"):
        load_data(DataRequest(path=collection, options={"refit_share": 1.5}))
