"""The cache of teachers: a teacher is used again only where the same code would train the same one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penjing.contract import Domain, Metric, Split, Splits
from penjing.host import Contribution, PluginHost
from penjing.host.source import PluginSource
from penjing.recipe import Recipe
from penjing.runner.code_hash import code_hash
from penjing.runner.job import Job, domain_job

FILES = {
    "__init__.py": "",
    "plugin.py": "VERSION = 1\n",
    "data.py": "def load_data(request):\n    return request.path\n",
    "augment.py": "from .noise import LOUDNESS\n\ndef augment(train, splits, **rest):\n    return train.x, train.y\n",
    "noise.py": "LOUDNESS = 0.1\n",
    "models.py": (
        "def build_model(request):\n    from leaks import layers\n    return layers\n\n\n"
        "def build_teacher(request):\n    from leaks import layers\n    return layers\n"
    ),
    "layers.py": "WIDTH = 8\n",
    "metrics.py": "def accuracy(targets, outputs):\n    return 1.0\n",
    "page.py": "TEXT = 'nothing that trains'\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A domain's package, importable as 'leaks'."""
    folder = tmp_path / "leaks"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "leaks"]:
        del sys.modules[name]


def job(version: str = "1.0") -> Job:
    metric = Metric(name="accuracy", function="leaks.metrics:accuracy", direction="higher", primary=True)
    domain = Domain(
        name="leaks",
        summary="Leaks in pipes.",
        task="classification",
        load_data="leaks.data:load_data",
        build_model="leaks.models:build_model",
        build_teacher="leaks.models:build_teacher",
        augment="leaks.augment:augment",
        metrics=(metric,),
        recipes={},
    )
    part = Split(x=np.zeros((2, 3), "float32"), y=np.zeros(2, "int64"), ids=["a", "b"])
    splits = Splits(train=part, validation=part, test=part, source="made", sha256="0")
    source = PluginSource(distribution="penjing-leaks", version=version, entry_point="leaks")
    recipe = Recipe.from_toml('[[steps]]\ntechnique = "finetune"\n')
    return domain_job(PluginHost.discover(), Contribution(value=domain, source=source), recipe, splits, 0)


def keys(made: Job) -> tuple[Any, ...]:
    return made.teacher_key, made.extra_parts


@pytest.mark.parametrize("name", ["augment.py", "noise.py", "data.py", "models.py", "layers.py", "__init__.py"])
def test_changed_code_of_data_model_or_augmentation_asks_for_another_teacher(package: Path, name: str) -> None:
    before = keys(job())
    assert keys(job()) == before
    (package / name).write_text(FILES[name] + "\nCHANGED = True\n")
    after = keys(job())
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_another_version_asks_for_another_teacher_and_a_page_does_not(package: Path) -> None:
    before = keys(job())
    assert keys(job("1.1"))[0] != before[0]
    for name in ("page.py", "metrics.py", "plugin.py"):
        (package / name).write_text(FILES[name] + "\nCHANGED = True\n")
    assert keys(job()) == before


def test_the_hash_does_not_depend_on_where_the_package_lies_and_modules_without_source_count(package: Path) -> None:
    assert code_hash(["leaks.models:build_model"]) == code_hash(["leaks.models:build_teacher", None])
    assert code_hash(["leaks.models:build_model"]) != code_hash(["leaks.data:load_data"])
    assert code_hash(["math:sin"]) == code_hash(["math:cos"]) != code_hash(["itertools:chain"])
