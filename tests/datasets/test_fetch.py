"""Downloads, against a server on this machine: whole, checked by hash, kept, and clear when they fail."""

from __future__ import annotations

import hashlib
import http.server
import importlib.metadata
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from packaging.requirements import Requirement

from penjing_datasets.catalogue import CATALOGUE, DatasetInfo, dataset_info
from penjing_datasets.errors import DatasetError
from penjing_datasets.fetch import fetch

CONTENT = bytes(range(256)) * 2000


class Handler(http.server.BaseHTTPRequestHandler):
    requests: ClassVar[list[str]] = []
    cut_short = False

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path.endswith("missing.bin"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if type(self).cut_short else CONTENT)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.requests, Handler.cut_short = [], False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.fixture
def info(server: str) -> DatasetInfo:
    return DatasetInfo(
        name="numbers",
        summary="",
        url=f"{server}/numbers.bin",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
        license="none",
        citation="",
    )


def test_a_file_is_fetched_once_and_then_kept(info: DatasetInfo, tmp_path: Path) -> None:
    path = fetch(info, folder=tmp_path)
    assert path.read_bytes() == CONTENT
    assert fetch(info, folder=tmp_path) == path
    assert Handler.requests == ["/numbers.bin"]


def test_a_file_with_another_hash_is_refused_and_not_kept(info: DatasetInfo, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="another sha256"):
        fetch(replace(info, sha256="0" * 64), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_half_a_download_is_refused_not_kept_and_can_be_repeated(info: DatasetInfo, tmp_path: Path) -> None:
    Handler.cut_short = True
    with pytest.raises(DatasetError):
        fetch(info, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    Handler.cut_short = False
    assert fetch(info, folder=tmp_path).read_bytes() == CONTENT


def test_a_server_that_refuses_or_is_not_there_gets_a_way_out(info: DatasetInfo, tmp_path: Path) -> None:
    for url in (info.url.replace("numbers", "missing"), "http://127.0.0.1:9/numbers.bin"):
        with pytest.raises(DatasetError, match="cannot be downloaded") as caught:
            fetch(replace(info, url=url), folder=tmp_path)
        assert "by hand" in (caught.value.hint or "")


def test_progress_is_shown_with_what_the_package_itself_installs(info: DatasetInfo, tmp_path: Path, capfd) -> None:
    requirements = [Requirement(text) for text in importlib.metadata.requires("penjing-datasets") or []]
    assert any(each.name == "pooch" and "progress" in each.extras for each in requirements)
    assert fetch(info, folder=tmp_path, progress=True).read_bytes() == CONTENT
    assert "100%" in capfd.readouterr().err


def test_a_file_put_there_by_hand_is_taken_and_a_wrong_one_replaced(info: DatasetInfo, tmp_path: Path) -> None:
    (tmp_path / "numbers.bin").write_bytes(CONTENT)
    assert fetch(info, folder=tmp_path).read_bytes() == CONTENT
    assert Handler.requests == []
    (tmp_path / "numbers.bin").write_bytes(CONTENT[:1000])
    assert fetch(info, folder=tmp_path).read_bytes() == CONTENT
    assert Handler.requests == ["/numbers.bin"]


def test_a_disk_that_cannot_hold_it_is_known_before_anything_is_fetched(info: DatasetInfo, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="B are free"):
        fetch(replace(info, size_bytes=1 << 60), folder=tmp_path)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DatasetError, match="cannot be kept"):
        fetch(info, folder=tmp_path / "file")
    assert Handler.requests == []


def test_the_cache_is_where_the_variable_says(
    info: DatasetInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENJING_CACHE", str(tmp_path / "cache"))
    assert fetch(info) == tmp_path / "cache/datasets/numbers.bin"


def test_the_catalogue_states_hash_licence_and_citation_of_everything() -> None:
    for name, info in CATALOGUE.items():
        assert dataset_info(name) is info
        assert len(info.sha256) == 64 and info.license and info.citation and info.size_bytes > 0
    with pytest.raises(DatasetError, match="speech-commands"):
        dataset_info("speech-comands")
