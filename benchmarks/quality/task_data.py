"""Arrays of the tasks, read once from the real data.

TASK-train.npz holds x_train, y_train, x_validation, y_validation and is all that a row sees; TASK-test.npz holds x, y
and group (a number, of the speaker; of the image itself where there is nothing that keeps images together), and is read
by `measurement` alone. x is float32, y int64.

    python task_data.py TASK DATA FOLDER COUNTS

in a process of its own, since TensorFlow reads the images.
"""

from __future__ import annotations

import json
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np

SPLIT_SEED = 0
"""Decides which images there are, and which are for validation; the seeds of the benchmark are of trainings."""
CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

Arrays = dict[str, np.ndarray]


def write_arrays(task: str, data: Path, folder: Path, counts: dict[str, int]) -> None:
    """Write both files of a task, and TASK.json: what was asked for, and what the table says about the data.

    Args:
        data: The folder of real data, as its README describes it.
        counts: Examples of each part, at most.
    """
    parts, source = (_speech if task == "ds-cnn" else _images)(data, counts)
    folder.mkdir(parents=True, exist_ok=True)
    train = {f"{axis}_{part}": parts[part][axis] for part in ("train", "validation") for axis in "xy"}
    np.savez(folder / f"{task}-train.npz", **train)
    np.savez(folder / f"{task}-test.npz", **parts["test"])
    found = {"source": source, **{name: len(part["y"]) for name, part in parts.items()}}
    (folder / f"{task}.json").write_text(json.dumps({"asked": counts, "found": found}))


def _speech(data: Path, counts: dict[str, int]) -> tuple[dict[str, Arrays], str]:
    """The clips, and as many augmented copies of the training part as its count has room for: 15,000 are the 3,000
    clips and four copies. Copies are arrays, so that every library trains on the same ones."""
    from penjing.contract import DataRequest
    from penjing_keyword_spotting.augmentation import augment
    from penjing_keyword_spotting.data import load_data
    from penjing_keyword_spotting.features import MLPERF_TINY

    splits = load_data(DataRequest(path=data / "keyword_spotting/speech_commands", seed=SPLIT_SEED))
    # The domain's own features are log-mel; the clips and the split stay, the front end is MLPerf Tiny's.
    front_end = MLPERF_TINY.normalised_to(splits.train.raw)
    splits = replace(splits, extra={**splits.extra, "front_end": front_end})
    parts = {}
    for name in ("train", "validation", "test"):
        split = getattr(splits, name)
        rows = _some(len(split), counts[name])
        parts[name] = {"x": front_end.of_clips(split.raw[rows]), "y": split.y[rows]}
    parts["test"]["group"] = np.unique(splits.test.groups[rows], return_inverse=True)[1]
    clips = len(parts["train"]["y"])
    copies = counts["train"] // clips - 1
    for number in range(copies):
        x, y = augment(splits.train, splits, epoch=number, seed=SPLIT_SEED, options={})
        rows = _some(len(y), clips)
        for axis, values in (("x", x), ("y", y)):
            parts["train"][axis] = np.concatenate([parts["train"][axis], values[rows]])
    return parts, f"{splits.source}, speaker-disjoint, {clips:,} training clips and {copies} augmented copies of each"


def _images(data: Path, counts: dict[str, int]) -> tuple[dict[str, Arrays], str]:
    folder = data / "image_classification"
    learned = counts["train"] + counts["validation"]
    x, y = _jpegs(folder / "cifar10-jpeg-train.tar.gz", learned)
    parts = {
        "train": {"x": x[: counts["train"]], "y": y[: counts["train"]]},
        "validation": {"x": x[counts["train"] :], "y": y[counts["train"] :]},
    }
    x, y = _jpegs(folder / "cifar10-jpeg-test.tar.gz", counts["test"])
    parts["test"] = {"x": x, "y": y, "group": np.arange(len(y))}
    return parts, "a subset of CIFAR-10 re-encoded as JPEG"


def _jpegs(archive: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Some images of an archive with a folder a class, float32 in [0, 1], in an order that mixes the classes."""
    import tensorflow as tf

    with tarfile.open(archive) as opened:
        members = sorted((m for m in opened.getmembers() if m.isfile()), key=lambda member: member.name)
        chosen = [members[index] for index in _some(len(members), count, ordered=False)]
        # In the order of the archive: a compressed one cannot go back without beginning anew.
        images = {}
        for member in sorted(chosen, key=lambda member: member.offset):
            file = opened.extractfile(member)
            assert file is not None
            images[member.name] = tf.io.decode_jpeg(file.read(), channels=3).numpy()
    x = np.stack([images[member.name] for member in chosen]).astype(np.float32) / 255.0
    return x, np.array([_class_of(member.name) for member in chosen], np.int64)


def _class_of(name: str) -> int:
    folder = Path(name).parent.name
    return int(folder) if folder.isdigit() else CIFAR_CLASSES.index(folder)


def _some(available: int, count: int, *, ordered: bool = True) -> np.ndarray:
    chosen = np.random.default_rng(SPLIT_SEED).permutation(available)[:count]
    return np.sort(chosen) if ordered else chosen


if __name__ == "__main__":
    write_arrays(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
