"""Bundles at the edges: what is in the way stays, what is no JSON is refused, a kill leaves the old or the new."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penjing.bundle import atomic, read_bundle, write_bundle
from penjing.bundle.atomic import replace_folder_atomically, write_bytes_atomically
from penjing.bundle.exchange import exchange
from penjing.errors import BundleError, RunFolderError

MODEL = b"\x00\x00\x00\x00TFL3" + bytes(100)


def fields(**changed: Any) -> dict[str, Any]:
    tensor = {"meaning": "x", "shape": [1, 2], "dtype": "int8", "scale": 0.5, "zero_point": 0}
    lineage = {
        "data_source": "toys",
        "data_sha256": "0" * 64,
        "synthetic": True,
        "seed": 0,
        "versions": {},
        "steps": [],
        "created": "2026-01-01T00:00:00+00:00",
    }
    return {
        "domain": "toys",
        "name": "default",
        "task": "regression",
        "inputs": [tensor],
        "outputs": [tensor],
        "recipe": "",
        "lineage": lineage,
        **changed,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"metrics": {"auc": {"estimate": float("nan")}}},
        {"metrics": {"auc": {"estimate": 0.5, "high": float("inf")}}},
        {"preprocessing": {"mean": float("nan")}},
        {"preprocessing": {"mean": np.float32(1)}},
        {"preprocessing": {"bands": np.arange(3)}},
        {"files": {}},
    ],
)
def test_what_is_no_json_is_refused_before_anything_is_written(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "bundle", MODEL, fields(**changed))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(metrics={"auc": {"estimate": float("nan")}}),
        lambda document: document.update(preprocessing={"mean": float("inf")}),
        lambda document: document.update(schema_version=True),
        lambda document: document.update(schema_version=1.0),
        lambda document: document.update(schema_version="1"),
    ],
)
def test_a_manifest_with_what_json_or_the_schema_does_not_have_is_refused(tmp_path: Path, change: Any) -> None:
    write_bundle(tmp_path / "bundle", MODEL, fields())
    path = tmp_path / "bundle/bundle.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(BundleError):
        read_bundle(tmp_path / "bundle")


def test_a_pipe_in_place_of_the_model_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", MODEL, fields())
    (tmp_path / "bundle/model.tflite").unlink()
    os.mkfifo(tmp_path / "bundle/model.tflite")
    with pytest.raises(BundleError):
        read_bundle(tmp_path / "bundle")


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(BundleError, match="something else than a bundle"):
        write_bundle(tmp_path, MODEL, fields())
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("in the way")
    with pytest.raises(RunFolderError, match="is a file"):
        write_bundle(tmp_path / "bundle", MODEL, fields())
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("bundle", "in the way")]


def test_a_link_to_a_bundle_stays_a_link(tmp_path: Path) -> None:
    write_bundle(tmp_path / "real", MODEL, fields())
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_bundle(tmp_path / "link", MODEL + b"new", fields())
    assert (tmp_path / "link").is_symlink()
    assert read_bundle(tmp_path / "real")[1]["model.tflite"] == MODEL + b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="renameat2 is Linux's")
def test_two_folders_are_swapped_in_one_step(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a/b").exists() and (tmp_path / "b/a").exists()
    assert not exchange(tmp_path / "a", tmp_path / "missing")
    assert (tmp_path / "a/b").exists()


def test_where_folders_cannot_be_swapped_a_failed_write_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    replace_folder_atomically(folder, {"a": b"old"})
    monkeypatch.setattr(atomic, "exchange", lambda first, second: False)
    replace_folder_atomically(folder, {"a": b"new"})
    assert (folder / "a").read_bytes() == b"new"
    with pytest.raises(RunFolderError):
        replace_folder_atomically(folder, {"a": b"newer", "n" * 300: b""})
    assert (folder / "a").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_killed_while_replacing_a_folder_is_old_or_new_and_never_missing(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\nfrom penjing.bundle.atomic import replace_folder_atomically\n"
        "folder = pathlib.Path(sys.argv[1])\nnumber = 0\n"
        "while True:\n"
        "    content = bytes([number % 256]) * 300_000\n"
        "    replace_folder_atomically(folder, {'a': content, 'b': content})\n    number += 1\n"
    )
    folder = tmp_path / "folder"
    for trial in range(6):
        process = subprocess.Popen([sys.executable, "-c", script, str(folder)])
        while not (folder / "b").exists():
            time.sleep(0.005)
        time.sleep(0.1 + 0.013 * trial)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        contents = {name: (folder / name).read_bytes() for name in ("a", "b")}
        assert contents["a"] == contents["b"] and len(set(contents["a"])) == 1 and len(contents["a"]) == 300_000


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.binary(max_size=50)), min_size=1, max_size=4))
def test_the_last_content_stands_and_nothing_else(contents: list[dict[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "folder"
        for files in contents:
            replace_folder_atomically(folder, files)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents[-1]
        for file, content in contents[-1].items():
            write_bytes_atomically(Path(name) / file, content)
            assert (Path(name) / file).read_bytes() == content
        assert {path.name for path in Path(name).iterdir()} == {"folder", *contents[-1]}
