"""Unfamiliar images are flagged, familiar ones pass, and the bundle's JSON gives the same scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from penjing_datasets.lesion_images import generate_lesions
from penjing_datasets.medmnist import read_medmnist
from penjing_medical_imaging.abstention import Familiarity, describe
from penjing_medical_imaging.delong import delong
from penjing_medical_imaging.unfamiliar import strangers


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return (generate_lesions(patients=200, seed=1).images[..., None] / 255).astype(np.float32)


@pytest.fixture(scope="module")
def familiarity(images: np.ndarray) -> Familiarity:
    return Familiarity.fitted(images[:500], images[500:650], share=0.95)


def test_the_stated_share_of_the_validation_part_passes(images: np.ndarray, familiarity: Familiarity) -> None:
    assert np.mean(familiarity.scores(images[500:650]) <= familiarity.limit) == pytest.approx(0.95, abs=0.01)
    assert np.mean(familiarity.scores(images[650:]) <= familiarity.limit) > 0.85


@pytest.mark.parametrize("kind", ["noise", "inverted", "pixels shuffled"])
def test_strangers_are_flagged(images: np.ndarray, familiarity: Familiarity, kind: str) -> None:
    theirs = strangers(images[650:])[kind]
    assert np.mean(familiarity.scores(theirs) > familiarity.limit) > 0.95


def test_json_keeps_the_scores_and_is_small(images: np.ndarray, familiarity: Familiarity) -> None:
    text = json.dumps(familiarity.to_json())
    assert len(text) < 25_000
    assert np.allclose(Familiarity.from_json(json.loads(text)).scores(images[:9]), familiarity.scores(images[:9]))


def test_colour_images_of_another_colour_are_strangers() -> None:
    generator = np.random.default_rng(0)
    pink = np.clip(np.array([0.8, 0.5, 0.7]) + generator.normal(0, 0.05, (200, 28, 28, 3)), 0, 1).astype(np.float32)
    familiarity = Familiarity.fitted(pink[:150], pink[150:], share=0.98)
    grey = np.repeat(pink.mean(axis=3, keepdims=True), 3, axis=3)
    assert np.mean(familiarity.scores(grey[150:]) > familiarity.limit) == 1


def test_constant_images_give_finite_scores(familiarity: Familiarity) -> None:
    scores = familiarity.scores(np.zeros((2, 28, 28, 1), np.float32))
    assert np.isfinite(scores).all() and (scores > familiarity.limit).all()


def test_the_score_does_not_depend_on_the_number_of_images(images: np.ndarray) -> None:
    assert np.allclose(describe(images[:20])[7], describe(images[7:8])[0])


def test_chest_radiographs_are_told_from_fashion(penjing_data: Path) -> None:
    """Clothes of Fashion-MNIST, 28 pixels like the radiographs, where Debian's package of them is installed."""
    radiographs = penjing_data / "medical_imaging" / "pneumoniamnist.npz"
    clothes = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
    if not radiographs.is_file() or not clothes.is_file():
        pytest.skip(f"no {radiographs} or no {clothes}")
    import gzip

    parts = {name: part / np.float32(255) for name, part in read_medmnist(radiographs).images.items()}
    familiarity = Familiarity.fitted(parts["train"], parts["validation"], share=0.99)
    theirs = (
        np.frombuffer(gzip.decompress(clothes.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28, 1)[:600] / 255
    )
    own = familiarity.scores(parts["test"])
    truth = np.concatenate([np.zeros(len(own), bool), np.ones(len(theirs), bool)])
    assert delong(truth, np.concatenate([own, familiarity.scores(theirs)])).areas[0] > 0.99
