"""What the documentation says is so: its links lead somewhere, its Python runs, its commands exist."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [
    *CHECKOUT.glob("*.md"),
    *CHECKOUT.glob("docs/**/*.md"),
    *CHECKOUT.glob("*/README.md"),
    *CHECKOUT.glob("plugins/*/README.md"),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_and_pictures_lead_to_files_of_the_project(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_the_readmes_python_runs_as_it_stands(
    toy_model: Path, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copy(toy_model, "model.keras")
    shutil.copy(toy_data, "data.npz")
    import numpy as np

    names = {"x": np.load("data.npz")["x"][:3]}
    exec(code, names)
    assert names["outputs"].shape == (3, 4)
    assert re.match(r"\d+ True", capsys.readouterr().out)


def test_the_readmes_recipe_is_one(run_penjing, toy_model: Path, tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "half.toml").write_text(text)
    done = run_penjing("explain", toy_model, "--recipe", tmp_path / "half.toml")
    assert done.returncode == 0, done.stderr
    assert "weights zero" in done.stdout
    assert "B flash (int8)" in done.stdout and "MACs" in done.stdout


def test_commands_in_the_readme_exist(run_penjing) -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    verbs = set(re.findall(r"penjing (compress|explain|inspect|verify|doctor|plugins|keyword-spotting)\b", text))
    assert {"compress", "explain", "inspect", "verify", "keyword-spotting"} <= verbs
    for verb in verbs:
        assert run_penjing(verb, "--help").returncode == 0


TECHNIQUE_PAGES = sorted(path for path in CHECKOUT.glob("docs/techniques/*.md") if path.stem != "index")


@pytest.mark.parametrize("page", TECHNIQUE_PAGES, ids=lambda page: page.stem)
def test_a_techniques_page_shows_a_recipe_that_is_one_and_names_every_setting(page: Path) -> None:
    from penjing.compression.plan import plan_steps
    from penjing.compression.settings.training import TrainingSettings
    from penjing.host import PluginHost
    from penjing.recipe import Recipe

    host = PluginHost.from_modules({})
    text = page.read_text(encoding="utf-8")
    snippets = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    plans = [plan_steps(Recipe.from_toml(snippet), host, host.resolve) for snippet in snippets]
    shown = {step.technique.name: step for steps in plans for step in steps}
    assert page.stem in shown
    own = set(type(shown[page.stem].settings).model_fields) - set(TrainingSettings.model_fields)
    named = set(re.findall(r"`(\w+)", text))  # a table of its own is named by its keys: `teacher.source`
    assert own - named == set()


def test_every_technique_has_a_page_and_every_page_a_technique() -> None:
    from penjing.compression.catalogue import TECHNIQUES

    assert {page.stem for page in TECHNIQUE_PAGES} == {technique.name for technique in TECHNIQUES}
