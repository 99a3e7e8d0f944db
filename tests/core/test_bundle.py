"""A bundle is written whole or not at all, and read as if a stranger had made it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from penjing.bundle import Manifest, read_bundle, write_bundle
from penjing.bundle.atomic import replace_folder_atomically, write_bytes_atomically
from penjing.errors import BundleError, RunFolderError

FIELDS = {
    "domain": "toys",
    "name": "default",
    "task": "classification",
    "labels": ["a", "b"],
    "inputs": [{"meaning": "x", "shape": [1, 2], "dtype": "int8", "scale": 0.5, "zero_point": 0}],
    "outputs": [{"meaning": "y", "shape": [1, 2], "dtype": "int8", "scale": 0.1, "zero_point": -128}],
    "recipe": 'name = "default"\n',
    "lineage": {
        "data_source": "toys",
        "data_sha256": "0" * 64,
        "synthetic": True,
        "seed": 0,
        "versions": {},
        "steps": [],
        "created": "2026-01-01T00:00:00+00:00",
    },
}
MODEL = b"\x00\x00\x00\x00TFL3" + bytes(100)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", MODEL, FIELDS, {"notes.txt": b"hello"})
    return tmp_path / "bundle"


def change(bundle: Path, **fields) -> None:
    path = bundle / "bundle.json"
    document = json.loads(path.read_text())
    document.update(fields)
    path.write_text(json.dumps(document))


def test_what_was_written_is_read(bundle: Path) -> None:
    manifest, files = read_bundle(bundle)
    assert manifest.labels == ["a", "b"]
    assert files == {"model.tflite": MODEL, "notes.txt": b"hello"}
    assert sorted(path.name for path in bundle.iterdir()) == ["bundle.json", "model.tflite", "notes.txt"]


def test_equal_content_gives_equal_bytes(bundle: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "other", MODEL, FIELDS, {"notes.txt": b"hello"})
    assert (tmp_path / "other/bundle.json").read_bytes() == (bundle / "bundle.json").read_bytes()


def test_a_bundle_fits_its_json_schema(bundle: Path) -> None:
    import jsonschema

    document = json.loads((bundle / "bundle.json").read_text())
    schema = Manifest.model_json_schema()
    jsonschema.validate(document, schema)
    del document["lineage"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_an_older_bundle_is_replaced_at_once_and_leaves_nothing(bundle: Path) -> None:
    write_bundle(bundle, MODEL + b"new", FIELDS)
    assert read_bundle(bundle)[1] == {"model.tflite": MODEL + b"new"}
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def damage_model(bundle: Path) -> None:
    (bundle / "model.tflite").write_bytes(MODEL[:-1] + b"x")


def truncate_model(bundle: Path) -> None:
    (bundle / "model.tflite").write_bytes(MODEL[:-1])


def remove_model(bundle: Path) -> None:
    (bundle / "model.tflite").unlink()


def link_model(bundle: Path) -> None:
    (bundle / "real").write_bytes(MODEL)
    remove_model(bundle)
    (bundle / "model.tflite").symlink_to(bundle / "real")


def point_outside(bundle: Path) -> None:
    (bundle.parent / "secret").write_bytes(b"s")
    files = json.loads((bundle / "bundle.json").read_text())["files"]
    change(bundle, files={**files, "../secret": {"size": 1, "sha256": "0" * 64}})


def claim_a_giant(bundle: Path) -> None:
    files = json.loads((bundle / "bundle.json").read_text())["files"]
    change(bundle, files={**files, "model.tflite": {"size": 10**12, "sha256": "0" * 64}})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage_model, "is not the file that the bundle was written with"),
        (truncate_model, "is not the file that the bundle was written with"),
        (remove_model, "missing"),
        (link_model, "may not hold links"),
        (point_outside, "unsafe name"),
        (claim_a_giant, "are allowed"),
        (lambda bundle: change(bundle, schema_version=99), "schema version 99"),
        (lambda bundle: change(bundle, labels="a"), "does not have the form"),
        (lambda bundle: change(bundle, surprise=1), "does not have the form"),
        (lambda bundle: change(bundle, files={}), "lists no model.tflite"),
        (lambda bundle: (bundle / "bundle.json").write_text("{"), "not valid JSON"),
        (lambda bundle: (bundle / "bundle.json").write_text("[" * 100_000), "not valid JSON"),
        (lambda bundle: (bundle / "bundle.json").write_bytes(b" " * 2_000_000), "larger than"),
        (lambda bundle: (bundle / "bundle.json").unlink(), "there is no bundle"),
    ],
)
def test_a_bundle_that_is_damaged_or_unsafe_is_refused(bundle: Path, spoil, message: str) -> None:
    spoil(bundle)
    with pytest.raises(BundleError) as caught:
        read_bundle(bundle)
    assert message in str(caught.value)


def test_no_bundle_at_all_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no bundle"):
        read_bundle(tmp_path / "nothing")


def test_a_file_name_that_leads_outside_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no name for a file"):
        write_bundle(tmp_path / "bundle", MODEL, FIELDS, {"../evil": b""})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunFolderError) as caught:
        write_bytes_atomically(tmp_path / "file" / "inside", b"x")
    assert str(tmp_path / "file") in (caught.value.where or "")


def test_killed_while_writing_a_file_is_old_or_new_never_half(tmp_path: Path) -> None:
    path = tmp_path / "file"
    script = (
        "import sys, pathlib\nfrom penjing.bundle.atomic import write_bytes_atomically\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "number = 0\n"
        "while True:\n    write_bytes_atomically(path, bytes([number % 256]) * 3_000_000)\n    number += 1\n"
    )
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script, str(path)])
        while not path.exists():
            time.sleep(0.005)
        time.sleep(0.15)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        content = path.read_bytes()
        assert len(content) == 3_000_000 and len(set(content)) == 1


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    replace_folder_atomically(folder, {"a": b"1", "b": b"2"})
    replace_folder_atomically(folder, {"b": b"3"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"b": b"3"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
