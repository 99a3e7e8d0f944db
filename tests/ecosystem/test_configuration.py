"""Defaults, user file, project file, environment, flags: the later is the stronger; each value says whence it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from penjing.commands.configuration import read_configuration
from penjing.errors import UsageError


def values(folder: Path, environment: dict[str, str] | None = None, domains: tuple[str, ...] = ()) -> dict[str, tuple]:
    given = {"PENJING_CONFIG": str(folder / "none.toml"), **(environment or {})}
    found = read_configuration(folder, given, domains).values
    return {name: (value.value, value.origin) for name, value in found.items()}


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    assert values(tmp_path) == {
        "disable_plugins": ([], "default"),
        "quiet": (False, "default"),
        "runs": ("runs", "default"),
        "seed": (0, "default"),
    }


def test_each_place_is_stronger_than_the_one_before(tmp_path: Path) -> None:
    user = tmp_path / "user.toml"
    user.write_text('# mine\nseed = 1\nquiet = true\n\n[domains.leaks]\nrecipe = "quick"\nbudget = "flash=1KB"\n')
    project = tmp_path / "project"
    (project / "below").mkdir(parents=True)
    (project / "penjing.toml").write_text('seed = 2\n\n[domains."leaks"]\nrecipe = "smallest"\n')
    environment = {"PENJING_CONFIG": str(user), "PENJING_LEAKS_RECIPE": "accurate"}
    found = values(project / "below", environment)
    file = project / "penjing.toml"
    assert found["seed"] == (2, f"project file {file}, line 1")
    assert found["quiet"] == (True, f"user file {user}, line 3")
    assert found["domains.leaks.budget"] == ("flash=1KB", f"user file {user}, line 7")
    assert found["domains.leaks.recipe"] == ("accurate", "environment PENJING_LEAKS_RECIPE")
    del environment["PENJING_LEAKS_RECIPE"]
    assert values(project, environment)["domains.leaks.recipe"] == ("smallest", f"project file {file}, line 4")
    assert values(project, {**environment, "PENJING_SEED": "3"})["seed"] == (3, "environment PENJING_SEED")


def test_paths_of_a_file_are_meant_from_where_it_lies_and_those_of_the_environment_from_here(tmp_path: Path) -> None:
    (tmp_path / "penjing.toml").write_text('runs = "out"\n[domains.leaks]\ndata = "/data/x"\nrecipe = "mine.toml"\n')
    found = values(tmp_path, {"PENJING_CACHE": "cache", "PENJING_PUMP_NOISE_DATA": "here.csv"}, ("pump-noise",))
    assert found["runs"][0] == str(tmp_path / "out")
    assert found["domains.leaks.data"][0] == "/data/x"
    assert found["domains.leaks.recipe"][0] == str(tmp_path / "mine.toml")
    assert found["cache"][0] == "cache"
    assert found["domains.pump-noise.data"] == ("here.csv", "environment PENJING_PUMP_NOISE_DATA")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nsede = 1\n", ("unknown setting 'sede'", "penjing.toml, line 2", "did you mean 'seed'?")),
        ("domain = 1\n", ("unknown setting 'domain'", "line 1", "did you mean 'domains'?")),
        ("[domains.leaks]\nbudgt = 'a'\n", ("'domains.leaks.budgt'", "line 2", "did you mean 'budget'?")),
        ("seed = -1\n", ("the setting 'seed' cannot be -1", "line 1", "a whole number from 0 up")),
        ("quiet = 'perhaps'\n", ("cannot be 'perhaps'", "line 1", "true or false")),
        ("[domains.leaks]\n\ndata = 3\n", ("cannot be 3", "line 3", "a path: file or folder")),
        ("disable_plugins = [1]\n", ("cannot be [1]", "line 1", "a list of names")),
        ("domains = 3\n", ("'domains' holds a table for each domain",)),
        ("seed = \n", ("the configuration cannot be read", "line 1")),
    ],
)
def test_a_mistake_is_refused_with_file_line_and_the_nearest_word(tmp_path: Path, text: str, said: tuple) -> None:
    (tmp_path / "penjing.toml").write_text(text)
    with pytest.raises(UsageError) as error:
        values(tmp_path)
    for part in said:
        assert part in str(error.value)


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PENJING_SEED cannot be 'many'"):
        values(tmp_path, {"PENJING_SEED": "many"})


def test_the_command_shows_each_value_with_its_origin_and_help_works_all_the_same(run_penjing, tmp_path: Path) -> None:
    env = {"PENJING_CONFIG": str(tmp_path / "user.toml"), "PENJING_QUIET": "yes"}
    (tmp_path / "penjing.toml").write_text('seed = 5\n[domains.keyword-spotting]\nrecipe = "quick"\n')
    document = json.loads(run_penjing("config", "--json", cwd=tmp_path, env=env).stdout)
    settings = document["settings"]
    assert settings["seed"] == {"value": 5, "origin": f"project file {tmp_path / 'penjing.toml'}, line 1"}
    assert settings["quiet"] == {"value": True, "origin": "environment PENJING_QUIET"}
    assert settings["domains.keyword-spotting.recipe"]["value"] == "quick"
    assert document["files"] == {"user": str(tmp_path / "user.toml"), "project": str(tmp_path / "penjing.toml")}
    (tmp_path / "penjing.toml").write_text("sede = 5\n")
    broken = run_penjing("domains", "--json", cwd=tmp_path, env=env)
    assert broken.returncode == 2 and "did you mean 'seed'?" in json.loads(broken.stdout)["error"]["hint"]
    assert run_penjing("--help", cwd=tmp_path, env=env).returncode == 0
    assert run_penjing("domains", "--help", cwd=tmp_path, env=env).returncode == 0


TELLING = """
import json, pathlib
def load(request):
    pathlib.Path("asked.json").write_text(json.dumps([str(request.path), request.seed, dict(request.options)]))
    raise SystemExit(3)
"""


def test_what_is_set_reaches_the_run_and_a_flag_is_stronger(site, domain_code) -> None:
    code = domain_code("leaks").replace("nowhere:load", "penjing_leaks.data:load")
    code = code.replace("recipes={}", "recipes={n: f'penjing_leaks:{n}.toml' for n in ('default', 'quick')}")
    recipe = "[[steps]]\ntechnique = 'quantize'\n"
    site.add(
        "penjing-leaks",
        code,
        entry_point="leaks",
        keywords="penjing-domain",
        extra_files={"data.py": TELLING, "default.toml": recipe, "quick.toml": "[data]\nsize = 3\n" + recipe},
    )
    (site.folder / "penjing.toml").write_text('seed = 9\n[domains.leaks]\ndata = "a.csv"\nrecipe = "quick"\n')
    env = {"PENJING_CONFIG": str(site.folder / "none.toml"), "PENJING_RUNS": str(site.folder / "mine")}

    def asked(*flags: str) -> list:
        site.run("leaks", "run", "--quiet", *flags, env=env)
        return json.loads((site.folder / "asked.json").read_text())

    assert asked() == [str(site.folder / "a.csv"), 9, {"size": 3}]
    assert asked("--seed", "4", "--data", "b.csv", "--recipe", "default") == ["b.csv", 4, {}]
    missing = site.run("leaks", "report", env=env)
    assert missing.returncode == 2 and str(site.folder / "mine" / "leaks") in missing.stderr


def test_plugins_can_be_disabled_by_the_projects_file(site, domain_code) -> None:
    site.add("penjing-leaks", domain_code("leaks"), entry_point="leaks", keywords="penjing-domain")
    (site.folder / "penjing.toml").write_text('disable_plugins = ["leaks"]\n')
    assert os.environ.get("PENJING_DISABLE_PLUGINS") is None
    assert site.plugins()["penjing-leaks"]["status"] == "disabled"
