"""Plugins work however they came: editable, in a wheel that is not unpacked, in a namespace package, two in one
distribution."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

from penjing.scaffold import new_plugin
from penjing.testing.fake_distributions import FakeDistributions

BUILD = "import os, sys; from hatchling.build import build_wheel; os.chdir(sys.argv[1]); build_wheel(sys.argv[2])"


def wheel_of(source: Path, folder: Path) -> Path:
    """The wheel of a source folder, built without an environment of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-c", BUILD, str(source), str(folder)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_an_editable_plugin_follows_its_source(tmp_path: Path) -> None:
    source = new_plugin("step-lines", kind="observer", directory=tmp_path / "source").folder
    project = source / "pyproject.toml"
    # A path file, for which hatchling needs no package besides itself.
    project.write_text(project.read_text() + '\n[tool.hatch.build]\ndev-mode-dirs = ["src"]\n')
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"), tmp_path / "venv/Lib/site-packages")
    (site / "surroundings.pth").write_text("\n".join(path for path in sys.path if path))
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", *flags, "-e", str(source)]
    subprocess.run(install, check=True, capture_output=True)

    def penjing(*arguments: str) -> str:
        command = [str(python), "-m", "penjing", *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path).stdout

    assert f"  from: {source.as_uri()}, editable" in penjing("plugins", "info", "step-lines")
    assert f"-e {source.as_uri()}" in penjing("plugins", "freeze").splitlines()
    module = source / "src/penjing_step_lines/plugin.py"
    module.write_text(module.read_text() + '\n\nraise RuntimeError("half a change")\n')
    (status,) = [
        each
        for each in json.loads(penjing("plugins", "list", "--json"))
        if each["distribution"] == "penjing-step-lines"
    ]
    assert status["status"] == "broken" and "half a change" in status["problems"][0]["reason"]


def test_a_wheel_on_the_path_works_without_being_unpacked(tmp_path: Path) -> None:
    """Recipes are read as resources of their package, not as files."""
    source = new_plugin("leaks", directory=tmp_path / "source").folder
    (source / "src/penjing_leaks/conformance.toml").write_text("[known-failures.leaks]\n")
    wheel = wheel_of(source, tmp_path / "wheels")
    site = FakeDistributions(tmp_path / "site")
    site.folder.mkdir()
    env = {"PYTHONPATH": os.pathsep.join([str(wheel), os.environ.get("PYTHONPATH", "")])}
    assert site.plugins(env)["penjing-leaks"]["contributes"] == {"domains": ["leaks"]}
    assert f"  from: {wheel}, on the import path" in site.run("plugins", "info", "leaks", env=env).stdout
    done = site.run("leaks", "data", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parts"]["train"]["examples"] > 100
    check = site.run("plugins", "check", "leaks", "--stage", "plugin", env=env)
    assert check.returncode == 0, check.stdout + check.stderr


def in_namespace(name: str, folder: Path) -> Path:
    """The scaffold's domain as penjing_acme.NAME, in a package without an __init__ that others share."""
    made = new_plugin(name, directory=folder).folder
    package, short = f"penjing_{name}", f"penjing_acme.{name}"
    (made / "src/penjing_acme").mkdir()
    (made / "src" / package).rename(made / "src/penjing_acme" / name)
    for file in [*made.rglob("*.py"), made / "pyproject.toml"]:
        text = file.read_text().replace(f'packages = ["src/{package}"]', 'packages = ["src/penjing_acme"]')
        file.write_text(text.replace(package, short))
    return made


def test_two_distributions_may_share_a_namespace_package(tmp_path: Path, run_penjing: Callable) -> None:
    site = FakeDistributions(tmp_path / "site")
    for name in ("leaks", "pumps"):
        source = in_namespace(name, tmp_path / name)
        with zipfile.ZipFile(wheel_of(source, tmp_path / f"{name}-wheel")) as wheel:
            wheel.extractall(site.folder)
    plugins = site.plugins()
    for name in ("leaks", "pumps"):
        assert plugins[f"penjing-{name}"]["status"] == "ok", plugins[f"penjing-{name}"]["problems"]
        done = site.run(name, "data", "--json")
        assert done.returncode == 0, done.stderr
    # And as the author checks it, from the source.
    check = run_penjing("plugins", "check", tmp_path / "leaks", "--stage", "plugin")
    assert check.returncode == 0, check.stdout + check.stderr


def test_two_plugins_of_one_distribution_are_two(site, domain_code: Callable[[str], str]) -> None:
    info = site.add("penjing-acme", domain_code("leaks"), entry_point="leaks", extra_files={"broken.py": "1 / 0"})
    points = "[penjing]\nleaks = penjing_acme.plugin\nbroken = penjing_acme.broken\nagain = penjing_acme.plugin\n"
    (info / "entry_points.txt").write_text(points)
    done = site.run("plugins", "list", "--json")
    mine = {each["name"]: each for each in json.loads(done.stdout) if each["distribution"] == "penjing-acme"}
    assert {name: each["status"] for name, each in mine.items()} == {
        "again": "ok",
        "broken": "broken",
        "leaks": "broken",
    }
    assert "ZeroDivisionError" in mine["broken"]["problems"][0]["reason"]
    (problem,) = mine["leaks"]["problems"]
    assert problem["stage"] == "register" and "entry point 'again'" in problem["reason"]
    # The kit looks at all of them.
    checked = site.run("plugins", "check", "penjing-acme", "--stage", "plugin", "--json")
    assert checked.returncode == 1
    failed = [each for each in json.loads(checked.stdout)["checks"] if each["outcome"] == "failed"]
    assert any("ZeroDivisionError" in each["reason"] for each in failed)


def test_a_plugin_that_takes_long_to_load_is_named_by_the_doctor(site) -> None:
    site.add(
        "penjing-slow",
        """
        import time
        from penjing import hookimpl

        time.sleep(1.2)

        @hookimpl
        def penjing_targets():
            time.sleep(1.2)
            return []
        """,
    )
    checks = {each["name"]: each for each in json.loads(site.run("doctor", "--json").stdout)["checks"]}
    line = checks["plugin penjing-slow"]
    assert line["ok"] and "to load, each time that penjing loads plugins" in line["message"]
    assert "import" in line["message"] and "penjing_targets" in line["message"]
    assert "PENJING_DISABLE_PLUGINS=penjing-slow" in line["remedy"]
