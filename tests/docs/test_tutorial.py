"""Whoever follows the tutorial arrives at the example, and each chapter's part of the kit passes where it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from penjing.recipe import Recipe
from penjing.scaffold import new_plugin
from tutorial import PAGE, follow
from written_pages import CHECKOUT, blocks

EXAMPLE = CHECKOUT / "examples/penjing-image-classification"
STAGES = re.findall(
    r"^\$ (penjing plugins check image-classification --stage [a-z]+)$", PAGE.read_text("utf-8"), re.MULTILINE
)
LEFT_BEHIND = {"__pycache__", ".pytest_cache", ".ruff_cache", "dist", "build", "runs"}


def files(folder: Path) -> dict[str, str]:
    """Text by path, without what tools leave."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and not LEFT_BEHIND & set(path.relative_to(folder).parts)
    }


def scaffold(tmp_path: Path) -> Path:
    return new_plugin("image-classification", directory=tmp_path / "penjing-image-classification").folder


def test_the_tutorial_ends_at_the_example_file_by_file(tmp_path: Path) -> None:
    folder = scaffold(tmp_path)
    follow(folder)
    made, expected = files(folder), files(EXAMPLE)
    assert sorted(made) == sorted(expected)
    for path in expected:
        texts = [re.sub(r"Copyright \(c\) \d{4}", "Copyright", text[path]) for text in (made, expected)]
        assert texts[0] == texts[1], path


def test_the_recipes_of_the_tutorial_are_recipes() -> None:
    recipes = [block for block in blocks("toml", [PAGE]) if "recipes/" in block.title]
    assert [Recipe.from_toml(block.text).name for block in recipes] == ["default", "smallest"]
    assert all(Path(block.title).stem == Recipe.from_toml(block.text).name for block in recipes)


def test_every_chapter_that_can_be_checked_says_how() -> None:
    assert [stage.split()[-1] for stage in STAGES] == ["data", "model", "metrics", "declaration"]


TRAINS = ("model", "metrics")


@pytest.mark.parametrize(
    "command",
    [pytest.param(each, marks=[pytest.mark.slow] if each.endswith(TRAINS) else []) for each in STAGES],
    ids=lambda command: command.split()[-1],
)
def test_the_stage_of_a_chapter_passes_where_the_chapter_ends(command: str, run_penjing, tmp_path: Path) -> None:
    folder = scaffold(tmp_path)
    follow(folder, until=command)
    arguments = [str(folder) if word == "image-classification" else word for word in command.split()[1:]]
    done = run_penjing(*arguments, "--set", "data.sample=120", "--json")
    checks = json.loads(done.stdout)["checks"]
    assert [(check["check"], check["reason"]) for check in checks if check["outcome"] == "failed"] == []
    assert any(check["outcome"] == "passed" for check in checks)
