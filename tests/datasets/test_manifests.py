"""manifest.csv as people write it, and what is wrong with one, named with its row."""

from __future__ import annotations

from pathlib import Path

import pytest

from penjing_datasets.errors import DatasetError
from penjing_datasets.manifests import ManifestRow, read_manifest, read_split_list

ROW = ManifestRow(label="yes", speaker="ann", part="test")


@pytest.mark.parametrize(
    "content",
    [
        "path,class,speaker,split\nyes/a.wav,yes,ann,test\n",
        "split,class,length,speaker,path\ntest,yes,1.0,ann,yes/a.wav\n",
        "path,class,speaker,split\r\n ./yes/a.wav , yes , ann , test \r\n",
        "\ufeffpath,class,speaker,split\nyes\\a.wav,yes,ann,test\n",
        '"path","class","speaker","split"\n"yes/a.wav","yes","ann","test"\n',
    ],
)
def test_one_row_however_it_is_written(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.csv").write_text(content, encoding="utf-8", newline="")
    manifest = read_manifest(tmp_path)
    assert manifest is not None and manifest.rows == {"yes/a.wav": ROW} and manifest.names_speakers


def test_speaker_and_split_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,class\nyes/a.wav,yes\n")
    manifest = read_manifest(tmp_path / "clips.tar")
    assert manifest is not None and not manifest.names_speakers
    assert manifest.rows["yes/a.wav"] == ManifestRow(label="yes", speaker=None, part=None)


def test_without_a_manifest_there_is_none(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "message", "row"),
    [
        ("file,label\nyes/a.wav,yes\n", "lacks the column class, path", None),
        ("path;class\nyes/a.wav;yes\n", "with commas between", None),
        ("path,class,split\nyes/a.wav,yes,train\nyes/b.wav,yes,dev\n", "has a split 'dev'", 3),
        ("path,class\nyes/a.wav\n", "a row without path or class", 2),
        ("path,class\n,yes\n", "a row without path or class", 2),
        ("path,class\nyes/a.wav,yes\nyes/a.wav,no\n", "names 'yes/a.wav' twice", 3),
        ("", "lacks the column", None),
    ],
)
def test_what_is_wrong_is_named_with_its_row(tmp_path: Path, content: str, message: str, row: int | None) -> None:
    (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(DatasetError) as caught:
        read_manifest(tmp_path)
    assert message in str(caught.value)
    assert row is None or f"row {row}" in (caught.value.where or "")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"path,class\n\xff\xfe\n")
    with pytest.raises(DatasetError, match="no UTF-8 text"):
        read_manifest(tmp_path)
    with pytest.raises(DatasetError, match="no UTF-8 text"):
        read_split_list("validation_list.txt", b"\xff\xfe")


def test_a_split_list_names_the_part_by_its_file() -> None:
    assert read_split_list("x/testing_list.txt", b"yes/a.wav\r\n\nno/b.wav\n") == {
        "yes/a.wav": "test",
        "no/b.wav": "test",
    }
