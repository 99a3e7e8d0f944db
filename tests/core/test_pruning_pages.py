"""The pages on pruning and sensitivity say what is so: recipes can be planned, settings are those there are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from penjing.compression.plan import plan_steps
from penjing.compression.settings.training import TrainingSettings
from penjing.compression.settings.weight_pruning import PruneWeightsSettings
from penjing.host import PluginHost
from penjing.recipe import Recipe

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "techniques/prune-weights.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_the_recipes_of_the_page_can_be_planned(text: str) -> None:
    host = PluginHost.from_modules({})
    steps = plan_steps(Recipe.from_toml(text), host, host.resolve)
    assert steps[0].technique.name == "prune-weights"


def test_the_page_has_every_setting_with_its_default() -> None:
    table = PAGE.split("## Settings")[1].split("\n## ")[0]
    described = {
        name: row[1].strip(" `")
        for row in (line.split("|")[1:] for line in table.splitlines() if line.startswith("| `"))
        for name in re.findall(r"`(\w+)`", row[0])
    }
    fields = PruneWeightsSettings.model_fields
    own = {name for name in fields if name not in TrainingSettings.model_fields}
    assert set(described) == own | {"epochs", "learning_rate"}
    for name in own - {"begin", "end"}:
        default = PruneWeightsSettings().model_dump()[name]
        assert described[name] == ("" if default in (None, {}, ()) else str(default)), name


def test_the_pages_python_runs(
    toy_model: Path, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "sensitivity.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copy(toy_model, "model.keras")
    shutil.copy(toy_data, "data.npz")
    names: dict = {}
    exec(code, names)
    assert set(names["result"].drops("channels")) == {"stem", "depthwise", "hidden"}
