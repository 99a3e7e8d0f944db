"""`penjing export` writes a bundle by an exporter: whole or not at all, nothing over what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penjing.bundle import write_bundle

PLUGIN = """
from penjing import hookimpl
from penjing.contract import Exporter

@hookimpl
def penjing_exporters():
    yield Exporter(name="card", summary="A card.", export="penjing_card.plugin:write")
    yield Exporter(name="half", summary="Fails half-way.", export="penjing_card.plugin:half")

def write(bundle, folder):
    (folder / "below").mkdir()
    path = folder / "below" / "card.txt"
    path.write_text(bundle.manifest.domain)
    return [path]

def half(bundle, folder):
    write(bundle, folder)
    raise ZeroDivisionError("no paper")
"""
TENSOR = {"shape": [1, 2], "dtype": "float32", "scale": 0.0, "zero_point": 0, "meaning": ""}
FIELDS = {
    "domain": "leaks",
    "name": "default",
    "task": "classification",
    "labels": ["dry", "wet"],
    "inputs": [TENSOR],
    "outputs": [TENSOR],
    "recipe": 'name = "default"\n',
    "lineage": {
        "data_source": "pumps",
        "data_sha256": "0" * 64,
        "synthetic": True,
        "seed": 0,
        "versions": {},
        "steps": [],
        "created": "2026-01-01T00:00:00+00:00",
    },
}


@pytest.fixture
def shop(site):
    site.add("penjing-card", PLUGIN)
    write_bundle(site.folder / "run/bundle", b"\x00\x00\x00\x00TFL3" + bytes(100), FIELDS)
    return site


def test_exporters_are_listed_and_one_writes_its_files(shop) -> None:
    listed = json.loads(shop.run("export", "--json").stdout)
    assert {"c-array", "card", "half"} <= {row["name"] for row in listed}
    done = shop.run("export", "run", "card", "--output", "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"] == ["out/below/card.txt"]
    assert (shop.folder / "out/below/card.txt").read_text() == "leaks"
    again = shop.run("export", "run/bundle", "card", "--output", "out")
    assert again.returncode == 2 and "the file is there already" in again.stderr


def test_an_exporter_that_fails_is_named_and_leaves_nothing(shop) -> None:
    done = shop.run("export", "run/bundle", "half", "--output", "out")
    assert done.returncode == 2
    assert "penjing-card 1.2.3" in done.stderr and "ZeroDivisionError: no paper" in done.stderr
    assert not (shop.folder / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("run", "cart"), "did you mean 'card'?"), (("run",), "which exporter?"), (("nowhere", "card"), "nowhere")],
)
def test_a_mistake_meets_its_nearest(shop, arguments: tuple[str, ...], said: str) -> None:
    done = shop.run("export", *arguments)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not list(Path(shop.folder).glob("card"))
