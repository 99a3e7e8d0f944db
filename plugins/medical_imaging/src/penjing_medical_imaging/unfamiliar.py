"""How well the abstention score tells the test part's images from images that are none of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penjing.contract import Split, Splits
from penjing_datasets.lesion_images import generate_lesions
from penjing_medical_imaging.abstention import Familiarity
from penjing_medical_imaging.delong import delong
from penjing_medical_imaging.inputs import Inputs, unit

MOST = 1000


def strangers(images: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Sets of images that a network for `images` (n, size, size, channels, from 0 to 1) has no business with."""
    generator = np.random.default_rng(seed)
    count, size, _, channels = images.shape
    drawn = generate_lesions(patients=max(12, min(count, 400) // 4), seed=seed, size=size).images[..., None] / 255.0
    return {
        "noise": generator.random(images.shape, np.float32),
        "inverted": 1 - images,
        "upside down": images[:, ::-1],
        "pixels shuffled": generator.permuted(images.reshape(count, -1, channels), axis=1).reshape(images.shape),
        "synthetic sample": np.repeat(drawn[:count], channels, axis=3).astype(np.float32),
    }


def abstention(predict: Callable[[Any], np.ndarray], split: Split, splits: Splits) -> dict[str, float]:
    """Share of the part that is flagged, and for each set of strangers the area under the ROC curve of the score and
    the share that is flagged. It does not depend on the network, and goes by what the bundle knows of familiar images.
    """
    familiarity, inputs = (
        Familiarity.from_json(splits.preprocessing["familiarity"]),
        Inputs.from_json(splits.preprocessing),
    )
    images = np.stack([inputs.prepared(image) for image in unit(np.asarray(split.raw)[:MOST])])
    own = familiarity.scores(images)
    found = {"flagged": float(np.mean(own > familiarity.limit)), "limit": familiarity.limit}
    for name, others in strangers(images).items():
        if name == "synthetic sample" and splits.synthetic:
            continue
        theirs = familiarity.scores(others)
        truth = np.concatenate([np.zeros(len(own), bool), np.ones(len(theirs), bool)])
        if len(own) > 1:
            found[f"auc {name}"] = float(delong(truth, np.concatenate([own, theirs])).areas[0])
        found[f"flagged {name}"] = float(np.mean(theirs > familiarity.limit))
    return found
