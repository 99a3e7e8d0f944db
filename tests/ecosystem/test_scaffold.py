"""A new plugin has exactly these files, is clean, becomes a wheel, and works where the wheel is installed."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from penjing.errors import RunFolderError, UsageError
from penjing.scaffold import KINDS, NewPlugin, new_plugin
from penjing.scaffold.generation import LONGEST_NAME, check_name

COMMON = {".github/workflows/test.yml", ".gitignore", "LICENSE", "README.md", "pyproject.toml"}
FILES = {
    "domain": {
        "src/penjing_leak_detection/__init__.py",
        "src/penjing_leak_detection/data.py",
        "src/penjing_leak_detection/metrics.py",
        "src/penjing_leak_detection/models.py",
        "src/penjing_leak_detection/plugin.py",
        "src/penjing_leak_detection/predict.py",
        "src/penjing_leak_detection/recipes/default.toml",
        "src/penjing_leak_detection/signals.py",
        "tests/test_conformance.py",
        "tests/test_data.py",
    },
    "technique": {
        "src/penjing_leak_detection/__init__.py",
        "src/penjing_leak_detection/plugin.py",
        "src/penjing_leak_detection/promise.py",
        "src/penjing_leak_detection/settings.py",
        "src/penjing_leak_detection/technique.py",
        "tests/test_conformance.py",
        "tests/test_promise.py",
    },
    "exporter": {
        "src/penjing_leak_detection/__init__.py",
        "src/penjing_leak_detection/export.py",
        "src/penjing_leak_detection/plugin.py",
        "tests/test_card.py",
        "tests/test_conformance.py",
    },
    "observer": {
        "src/penjing_leak_detection/__init__.py",
        "src/penjing_leak_detection/plugin.py",
        "tests/conftest.py",
        "tests/test_conformance.py",
        "tests/test_lines.py",
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NewPlugin]:
    """One plugin of each kind."""
    folder = tmp_path_factory.mktemp("new")
    return {kind: new_plugin("leak-detection", kind=kind, directory=folder / kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_has_exactly_these_files(made: dict[str, NewPlugin], kind: str) -> None:
    folder = made[kind].folder
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == COMMON | FILES[kind] == set(made[kind].files)
    for path in found:
        text = (folder / path).read_text(encoding="utf-8")
        assert "PACKAGE" not in path and "$" not in text.replace("${{", ""), path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["leak-detection", "x", "a1-2", "w" * LONGEST_NAME, "-".join("x" * 24)])
def test_a_new_plugin_is_clean_whatever_its_name(tmp_path: Path, kind: str, name: str) -> None:
    """Short names, digits, and the longest: lines grow with it, and imports sort another way."""
    made = new_plugin(name, kind=kind, directory=tmp_path / "new")
    for arguments in (("check",), ("format", "--check")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
            cwd=made.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    for path in made.folder.rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_states_what_it_is_and_what_it_needs(made: dict[str, NewPlugin], kind: str) -> None:
    project = tomllib.loads((made[kind].folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "penjing-leak-detection"
    assert project["license"] == "MIT" and project["description"] == KINDS[kind]
    assert project["entry-points"]["penjing"] == {"leak-detection": "penjing_leak_detection.plugin"}
    assert ("penjing-domain" in project["keywords"]) == (kind == "domain")
    assert "penjing-contract-1" in project["keywords"]
    assert any(text.startswith("penjing>=") for text in project["dependencies"])
    workflow = (made[kind].folder / ".github/workflows/test.yml").read_text()
    assert "${{ matrix.python }}" in workflow


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Leak Detection", "did you mean 'leak-detection'?"),
        ("leak_detection", "did you mean 'leak-detection'?"),
        ("LeakDetection", "did you mean 'leak-detection'?"),
        ("2leaks", "did you mean 'my-2leaks'?"),
        ("3d-scans", "did you mean 'my-3d-scans'?"),
        ("Gerät", "did you mean 'gerat'?"),
        ("x" * 49, "it has 49 letters"),
        ("-", "for example: leak-detection"),
        ("", "for example: leak-detection"),
        ("penjing-leaks", "did you mean 'leaks'?"),
        ("class", "is a word of Python"),
        ("match", "is a word of Python"),
        ("doctor", "is one of penjing's own commands"),
        ("keyword-spotting", "there is a plugin 'keyword-spotting' already"),
        ("../leaks", "did you mean 'leaks'?"),
    ],
)
def test_a_name_that_cannot_be_used_meets_one_that_can(name: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        check_name(name, {"penjing-keyword-spotting", "keyword-spotting"})
    assert said in str(error.value)


def test_nothing_is_overwritten(made: dict[str, NewPlugin], tmp_path: Path) -> None:
    before = (made["domain"].folder / "README.md").read_text()
    with pytest.raises(RunFolderError, match="nothing is overwritten"):
        new_plugin("leak-detection", kind="observer", directory=made["domain"].folder)
    assert (made["domain"].folder / "README.md").read_text() == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunFolderError):
        new_plugin("leaks", directory=tmp_path / "file")
    with pytest.raises(RunFolderError):
        new_plugin("leaks", directory=tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "started/.git").mkdir(parents=True)
    (tmp_path / "started/notes").write_text("mine")
    with pytest.raises(RunFolderError, match="nothing is overwritten"):
        new_plugin("leaks", directory=tmp_path / "started")
    assert {path.name for path in (tmp_path / "started").iterdir()} == {".git", "notes"}
    shutil.rmtree(tmp_path / "started")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_empty_or_holds_a_repository_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `git clone` of a new repository; the current folder too."""
    (tmp_path / "clone/.git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "clone")
    made = new_plugin("leaks", kind="exporter", directory=Path())
    found = {str(path.relative_to(".")) for path in Path().rglob("*") if path.is_file()}
    assert found == COMMON | {path.replace("leak_detection", "leaks") for path in FILES["exporter"]} == set(made.files)
    assert (tmp_path / "clone/.git").is_dir()


def test_what_cannot_be_written_whole_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if target.name == "tests" or target == tmp_path / "new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    for folder in ("there", "new"):
        with pytest.raises(RunFolderError, match="No space left on device"):
            new_plugin("leaks", directory=tmp_path / folder)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["there"]


def test_the_command_names_the_files_and_the_next_steps(run_penjing, tmp_path: Path) -> None:
    done = run_penjing("plugins", "new", "pump-noise", "--author", "A. Nyone", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "src/penjing_pump_noise/plugin.py" in done.stdout and "penjing plugins check" in done.stdout
    # The kit trains: without the extra `compress` the next step would end in a missing package.
    assert 'pip install -e "penjing-pump-noise[compress,test]"' in done.stdout
    assert "A. Nyone" in (tmp_path / "penjing-pump-noise/LICENSE").read_text()
    again = run_penjing("plugins", "new", "pump-noise", "--json", cwd=tmp_path)
    assert again.returncode == 2
    assert json.loads(again.stdout)["error"]["kind"] == "RunFolderError"
    taken = run_penjing("plugins", "new", "keyword-spotting", cwd=tmp_path)
    assert taken.returncode == 2 and "there is a plugin 'keyword-spotting' already" in taken.stderr


# --------------------------------------------------------------------------------------- as a stranger installs it


@pytest.fixture(scope="module")
def installed(made: dict[str, NewPlugin], tmp_path_factory: pytest.TempPathFactory):
    """Install the wheel of a kind into an environment of its own; gives the environment's Python."""
    kept: dict[str, Path] = {}

    def install(kind: str) -> Path:
        if kind not in kept:
            kept[kind] = _environment(made[kind], tmp_path_factory.mktemp(f"env-{kind}"))
        return kept[kind]

    return install


def _environment(plugin: NewPlugin, folder: Path) -> Path:
    _quietly([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, plugin.folder])
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    packaged = {path.removeprefix("src/") for path in plugin.files if path.startswith("src/")}
    assert packaged <= names
    assert not any(name.startswith("tests/") for name in names)
    venv = folder / "venv"
    _quietly([sys.executable, "-m", "venv", "--without-pip", venv])
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    # What it needs is found where this process finds it; the wheel itself is in the new environment alone.
    site = next(venv.glob("lib/python*/site-packages"), venv / "Lib/site-packages")
    (site / "surroundings.pth").write_text("\n".join(path for path in sys.path if path))
    _quietly([sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", wheel])
    return python


def _quietly(command: list, **options) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=env, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    return done


@pytest.mark.parametrize("kind", KINDS)
def test_the_wheel_works_where_it_is_installed(made, installed, tmp_path: Path, kind: str) -> None:
    python = installed(kind)
    arguments = [python, "-m", "penjing", "plugins", "check", "leak-detection", "--stage", "plugin", "--json"]
    document = json.loads(_quietly(arguments, cwd=tmp_path).stdout)
    assert document["ok"]
    assert {check["check"]: check["outcome"] for check in document["checks"]} == {
        "check_declaring_module_is_light": "passed",
        "check_declaring_module_is_quiet": "passed",
        "check_hooks_are_well_formed": "passed",
        "check_plugin_works_in_the_host": "passed",
        "check_metadata_is_complete": "passed",
    }


@pytest.mark.parametrize("kind", ["domain", *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS if k != "domain")])
def test_its_own_tests_pass_and_the_conformance_kit_is_among_them(made, installed, tmp_path: Path, kind: str) -> None:
    command = [installed(kind), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "tests"]
    done = _quietly(command, cwd=made[kind].folder)
    last = done.stdout.strip().splitlines()[-1]
    assert "passed" in last and "failed" not in last and "error" not in last
    assert (
        int(last.split(" passed")[0].split()[-1]) > {"domain": 35, "technique": 15, "exporter": 9, "observer": 6}[kind]
    )


def test_a_new_domain_runs_and_predicts(made, installed, tmp_path: Path) -> None:
    penjing = [installed("domain"), "-m", "penjing"]
    run = json.loads(_quietly([*penjing, "leak-detection", "run", "--output", "run", "--json"], cwd=tmp_path).stdout)
    figures = run["compressed"]["metrics"]["accuracy"], run["baselines"][0]["metrics"]["accuracy"]
    assert figures[0] > figures[1] + 0.04
    assert all(line["holds"] for line in run["budget"])
    rows = ",".join(f"s{number}" for number in range(64)) + "\n" + ",".join(["0.5", "-0.5"] * 32) + "\n"
    (tmp_path / "new.csv").write_text(rows)
    predict = [*penjing, "leak-detection", "predict", "new.csv", "--bundle", "run/bundle", "--json"]
    (row,) = json.loads(_quietly(predict, cwd=tmp_path).stdout)["predictions"]
    assert row["label"] in ("quiet", "hum", "knock") and row["row"] == 1
