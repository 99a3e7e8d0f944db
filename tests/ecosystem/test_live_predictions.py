"""An option whose rows have no end: each is printed as it comes, and Ctrl-C is how one stops."""

from __future__ import annotations

import json
import textwrap

import pytest

from penjing.bundle import write_bundle

PLUGIN = """
from penjing import hookimpl
from penjing.contract import Domain, Metric, PredictOption

@hookimpl
def penjing_domains():
    yield Domain(
        name="drops",
        summary="A domain for tests.",
        task="classification",
        load_data="nowhere:load",
        build_model="nowhere:build",
        metrics=(Metric(name="accuracy", function="nowhere:accuracy", direction="higher", primary=True),),
        recipes={},
        predict="penjing_drops.predict:predict",
        predict_options=(
            PredictOption(flag="--sensor-now", help="listen", live=True),
            PredictOption(flag="--fail", help="fail"),
        ),
    )
"""
PREDICT = """
def predict(request):
    yield {"seconds": 0.5, "drop": "small"}
    yield {"seconds": 1.5, "drop": "large"}
    if request.options["fail"]:
        raise RuntimeError("the sensor fell off")
    raise KeyboardInterrupt
"""


@pytest.fixture
def listening(site):
    """Runs the command with the bundle."""
    site.add(
        "penjing-drops",
        PLUGIN,
        entry_point="drops",
        keywords="penjing-domain",
        extra_files={"predict.py": textwrap.dedent(PREDICT)},
    )
    fields = {
        "domain": "drops",
        "name": "any",
        "task": "classification",
        "labels": [],
        "inputs": [],
        "outputs": [],
        "recipe": 'name = "any"\n',
        "lineage": {
            "data_source": "toys",
            "data_sha256": "0" * 64,
            "synthetic": False,
            "seed": 0,
            "versions": {},
            "steps": [],
            "created": "2026-01-01T00:00:00+00:00",
        },
    }
    write_bundle(site.folder / "bundle", b"\0\0\0\0TFL3", fields)
    return lambda *options: site.run("drops", "predict", "--bundle", str(site.folder / "bundle"), *options)


def test_rows_are_lines_and_the_end_is_no_failure(listening) -> None:
    done = listening("--sensor-now")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["0.5  small", "1.5  large"]


def test_with_json_each_line_is_an_object(listening) -> None:
    done = listening("--sensor-now", "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"seconds": 0.5, "drop": "small"},
        {"seconds": 1.5, "drop": "large"},
    ]


def test_what_came_before_a_failure_has_been_printed(listening) -> None:
    done = listening("--sensor-now", "--fail")
    assert done.stdout.splitlines() == ["0.5  small", "1.5  large"]
    assert done.returncode == 2 and "the sensor fell off" in done.stderr and "Traceback" not in done.stderr


def test_without_the_option_nothing_is_printed_of_a_prediction_that_failed(listening) -> None:
    done = listening("--fail")
    assert done.returncode == 2 and done.stdout == ""
