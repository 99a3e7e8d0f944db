"""A wheel from a folder is installed into an environment of its own, named, checked and removed; no network."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from penjing.commands.installer import refuse_managed_environment
from penjing.commands.installer_output import failure_reason
from penjing.errors import UsageError
from penjing.scaffold import new_plugin
from penjing.testing.known_failures import FILE

REASON = "it greets whoever imports it; until version 2"
KNOWN = '[known-failures.penjing-{}]\ncheck_declaring_module_is_quiet = "' + REASON + '"\n'


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels: a plugin that works, one that does not, three with a list of known failures (which holds
    what fails, what holds, and no TOML), and something else."""
    folder = tmp_path_factory.mktemp("shop")
    sources = folder / "sources"
    lines = new_plugin("step-lines", kind="observer", directory=sources / "lines")
    broken = new_plugin("broken-lines", kind="observer", directory=sources / "broken")
    file = broken.folder / "src/penjing_broken_lines/plugin.py"
    file.write_text(file.read_text() + "\n\nraise RuntimeError('no such thing')\n")
    listed = {}
    for name, said, list_of in (
        ("loud-lines", 'print("hello")', KNOWN),
        ("quiet-lines", "", KNOWN),
        ("unread-lines", "", "[known-failures"),
    ):
        listed[name] = new_plugin(name, kind="observer", directory=sources / name).folder
        package = listed[name] / f"src/penjing_{name.replace('-', '_')}"
        (package / "plugin.py").write_text((package / "plugin.py").read_text() + f"\n\n{said}\n")
        (package / FILE).write_text(list_of.format(name))
    other = sources / "other"
    (other / "something_else").mkdir(parents=True)
    (other / "something_else/__init__.py").write_text("")
    (other / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "something-else"\nversion = "2"\n'
    )
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", folder]
    folders = [lines.folder, broken.folder, *listed.values(), other]
    subprocess.run([*map(str, build), *map(str, folders)], check=True)
    return folder


Environment = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """`penjing` of a new environment that finds this one's packages, pip among them, and has none of its own."""
    return _new_environment(tmp_path_factory.mktemp("environment") / "venv")


@pytest.fixture(scope="module")
def uv_environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The same without pip, so that uv is taken."""
    uv = _uv()
    if uv is None:
        pytest.skip("uv is not installed here (`make test` installs it)")
    folder = tmp_path_factory.mktemp("uv") / "venv"
    return _new_environment(folder, 'import sys; sys.modules["pip"] = None', programs=uv.parent)


def _uv() -> Path | None:
    """The program, from the package of that name in this environment, or on the PATH."""
    found = None
    if importlib.util.find_spec("uv") is not None:
        found = shutil.which("uv", path=sysconfig.get_path("scripts"))
    found = found or shutil.which("uv")
    return None if found is None else Path(found)


def _new_environment(folder: Path, *lines: str, programs: Path | None = None) -> Environment:
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = next(folder.glob("lib/python*/site-packages"), folder / "Lib/site-packages")
    path = os.pathsep.join([*([str(programs)] if programs else []), os.environ["PATH"]])
    (site / "surroundings.pth").write_text("\n".join([*(path for path in sys.path if path), *lines]))

    def penjing(*arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(python), "-m", "penjing", *map(str, arguments)],
            capture_output=True,
            text=True,
            input=stdin,
            check=False,
            cwd=folder,
            env={**os.environ, "PATH": path},
        )

    return penjing


def _names(environment) -> list[str]:
    return [plugin["distribution"] for plugin in json.loads(environment("plugins", "list", "--json").stdout)]


def test_a_plugin_is_installed_named_frozen_and_removed(environment, shop: Path) -> None:
    local = ("--no-index", "--no-deps", "--find-links", shop)
    unasked = environment("plugins", "install", "penjing-step-lines", *local)
    assert unasked.returncode == 2 and "--yes" in unasked.stderr
    assert "it runs with your rights" in unasked.stderr
    assert "penjing-step-lines" not in _names(environment)

    done = environment("plugins", "install", "penjing-step-lines", *local, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    (installed,) = json.loads(done.stdout)["installed"]
    assert (installed["distribution"], installed["version"]) == ("penjing-step-lines", "0.1.0")
    assert installed["origin"] == "a package index (installed by pip)"
    assert installed["contributes"] == {"observers": ["penjing_after_step", "penjing_run_finished"]}

    again = environment("plugins", "install", "penjing-step-lines", *local, "--yes")
    assert again.returncode == 0 and "penjing-step-lines 0.1.0, from a package index" in again.stdout

    assert "penjing-step-lines==0.1.0" in environment("plugins", "freeze").stdout.splitlines()
    frozen = json.loads(environment("plugins", "freeze", "--json").stdout)
    assert {
        "distribution": "penjing-step-lines",
        "version": "0.1.0",
        "requirement": "penjing-step-lines==0.1.0",
    } in frozen

    # '-', '_' and '.' are the same in names, for info as for uninstall.
    for name in ("step-lines", "penjing-step-lines", "step_lines", "Penjing.Step.Lines"):
        assert "penjing-step-lines 0.1.0: ok" in environment("plugins", "info", name).stdout, name
    assert environment("plugins", "uninstall", "step-lines").returncode == 2
    removed = environment("plugins", "uninstall", "step_lines", "--yes")
    assert removed.returncode == 0 and "removed penjing-step-lines 0.1.0" in removed.stdout
    assert "penjing-step-lines" not in _names(environment)


def test_a_file_is_named_as_the_source(environment, shop: Path) -> None:
    (wheel,) = shop.glob("penjing_step_lines-*.whl")
    done = environment("plugins", "install", wheel, "--no-index", "--no-deps", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"penjing-step-lines 0.1.0, from {wheel.as_uri()}" in done.stdout
    assert f"  from: {wheel.as_uri()}" in environment("plugins", "info", "step-lines").stdout
    assert f"penjing-step-lines @ {wheel.as_uri()}" in environment("plugins", "freeze").stdout.splitlines()
    environment("plugins", "uninstall", "penjing-step-lines", "--yes")


def test_a_plugin_that_does_not_work_is_said_to_be_broken(environment, shop: Path) -> None:
    done = environment(
        "plugins", "install", "penjing-broken-lines", "--no-index", "--no-deps", "--find-links", shop, "--yes"
    )
    assert done.returncode == 1
    assert "failed check_plugin_works_in_the_host: stage import: RuntimeError: no such thing" in done.stdout
    assert environment("plugins", "uninstall", "penjing-broken-lines", "--yes").returncode == 0


def test_a_known_failure_is_shown_with_its_reason_and_does_not_fail_the_installation(environment, shop: Path) -> None:
    local = ("--no-index", "--no-deps", "--find-links", shop, "--yes")
    # What was installed is named also where its list cannot be read.
    done = environment("plugins", "install", "penjing-loud-lines", "penjing-unread-lines", *local)
    assert done.returncode == 1 and "penjing-unread-lines 0.1.0, from a package index" in done.stdout
    assert f"known to fail check_declaring_module_is_quiet: {REASON}" in done.stdout
    assert done.stdout.count("failed ") == 1 and f"failed {FILE}: the file is no TOML" in done.stdout

    # That one holds after all is for the author to say, by `plugins check`: what was installed works.
    done = environment("plugins", "install", "penjing-loud-lines", "penjing-quiet-lines", *local, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {each.pop("distribution"): each for each in json.loads(done.stdout)["installed"]}
    assert all(each["ok"] and each["failed_checks"] == [] for each in found.values())
    assert found["penjing-loud-lines"]["known_failures"] == [
        {"check": "check_declaring_module_is_quiet", "reason": REASON}
    ]
    assert found["penjing-quiet-lines"]["known_failures"] == []
    installed = [f"penjing-{name}-lines" for name in ("loud", "quiet", "unread")]
    assert environment("plugins", "uninstall", *installed, "--yes").returncode == 0


def test_what_is_no_plugin_is_said_to_be_none_and_not_removed(environment, shop: Path) -> None:
    done = environment("plugins", "install", "something-else", "--no-index", "--find-links", shop, "--yes")
    assert done.returncode == 2 and "is no plugin of penjing" in done.stderr
    for name in ("something-else", "penjing", "numpy"):
        refused = environment("plugins", "uninstall", name, "--yes")
        assert refused.returncode == 2 and f"there is no plugin '{name}' to remove" in refused.stderr


def test_what_cannot_be_found_is_told_in_pips_words(environment, shop: Path) -> None:
    done = environment("plugins", "install", "penjing-nowhere", "--no-index", "--find-links", shop, "--yes", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert "pip could not install" in error["what"] and "penjing-nowhere" in error["why"]
    option = environment("plugins", "install", "--yes", "--", "--pre")
    assert option.returncode == 2 and "'--pre' is no plugin" in option.stderr


def test_the_operating_systems_python_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_managed_environment()  # this one is not
    (tmp_path / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    with pytest.raises(UsageError, match="belongs to the operating system") as error:
        refuse_managed_environment()
    assert "python3 -m venv .venv" in str(error.value.hint)


def test_uv_installs_names_and_removes_where_there_is_no_pip(uv_environment, shop: Path) -> None:
    local = ("--no-index", "--no-deps", "--find-links", shop)
    done = uv_environment("plugins", "install", "penjing-step-lines", *local, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    (installed,) = json.loads(done.stdout)["installed"]
    assert installed["origin"] == "a package index (installed by uv)"
    removed = uv_environment("plugins", "uninstall", "step-lines", "--yes")
    assert removed.returncode == 0, removed.stderr
    assert "penjing-step-lines" not in _names(uv_environment)
    done = uv_environment("plugins", "install", "penjing-nowhere", *local, "--yes", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert "uv could not install" in error["what"] and "penjing-nowhere was not found" in error["why"]


PIP_BUILD = """\
Processing ./bad
  Preparing metadata (pyproject.toml): finished with status 'error'
  error: subprocess-exited-with-error

  × Preparing metadata (pyproject.toml) did not run successfully.
  │ exit code: 1
  ╰─> [26 lines of output]
      Traceback (most recent call last):
        File "build.py", line 58, in build_wheel
      ValueError: the field 'version' is missing
      [end of output]

  note: This error originates from a subprocess, and is likely not a problem with pip.
error: metadata-generation-failed

× Encountered error while generating package metadata.
╰─> See above for output.

note: This is an issue with the package mentioned above, not pip.
hint: See above for details.
"""
UV = """\
Using Python 3.11.7 environment at: target
error: No solution found when resolving dependencies
  cause: Because penjing-nowhere was not found, we can conclude that your requirements are unsatisfiable.

hint: Packages were unavailable because index lookups were disabled
"""
UV_BEFORE_0_10 = """\
Using Python 3.11.7 environment at: target
  × No solution found when resolving dependencies:
  ╰─▶ Because penjing-nowhere was not found in the package registry and you
      require penjing-nowhere, we can conclude that your requirements are
      unsatisfiable.

      hint: Packages were unavailable because index lookups were disabled
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            "Looking in links\nERROR: No matching distribution found for x\n",
            "ERROR: No matching distribution found for x",
        ),
        (PIP_BUILD, "ValueError: the field 'version' is missing"),
        (
            UV,
            "error: No solution found when resolving dependencies; Because penjing-nowhere was not found, we can "
            "conclude that your requirements are unsatisfiable.",
        ),
        (
            UV_BEFORE_0_10,
            "No solution found when resolving dependencies; Because penjing-nowhere was not found in the package "
            "registry and you require penjing-nowhere, we can conclude that your requirements are unsatisfiable.",
        ),
        ("error: Failed to build `bad`\n  Caused by: no such file\n", "error: Failed to build `bad`; no such file"),
        ("Killed\n\n", "Killed"),
        ("", ""),
    ],
    ids=["pip", "pip-build", "uv", "uv-before-0.10", "uv-caused-by", "no-error", "nothing"],
)
def test_the_reason_is_found_in_what_pip_and_uv_print(output: str, reason: str) -> None:
    assert failure_reason(output) == reason
