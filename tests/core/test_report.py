"""The report is one file that needs nothing from anywhere, shows what metrics.json says, and works in a browser."""

from __future__ import annotations

import html
import io
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from penjing.contract import LayerChange, ReportSection
from penjing.report import ReportInput, StepRow, load_metrics_schema, render_report
from penjing.report.drawings import size_and_metric
from penjing.report.table import print_summary
from penjing.runner.document import machine

HOSTILE = '<script>alert("x")</script>'


def interval(estimate: float, spread: float = 0.02) -> dict:
    return {
        "estimate": estimate,
        "low": estimate - spread,
        "high": estimate + spread,
        "method": "bootstrap of 40 groups, percentile, 2,000 resamples, 95%",
        "n": 200,
    }


def _terminal(metrics: dict) -> str:
    file = io.StringIO()
    print_summary(Console(file=file, width=1000), metrics, report=None, bundle=None)
    return file.getvalue()


@pytest.fixture
def report() -> ReportInput:
    latency = {"p50": 120.5, "p99": 151.0, "threads": 1, "runtime": "LiteRT, XNNPACK"}
    metrics = {
        "schema_version": 1,
        "domain": "toys",
        "seed": 3,
        "deterministic": True,
        "data": {
            "source": HOSTILE,
            "sha256": "a" * 64,
            "synthetic": True,
            "train": 1000,
            "validation": 200,
            "test": 200,
            "notes": ["2 broken files skipped"],
        },
        "primary_metric": "accuracy",
        "directions": {"accuracy": "higher"},
        "baselines": [
            {"name": "nearest neighbour", "metrics": {"accuracy": 0.6}, "intervals": {}},
            {"name": "majority", "metrics": {"accuracy": 0.5}, "intervals": {}},
        ],
        "reference": {
            "metrics": {"accuracy": 0.91},
            "intervals": {"accuracy": interval(0.91)},
            "params": 12_345,
            "macs": 2_000_000,
            "flash_bytes": 98_296,
            "latency_us": latency,
        },
        "compressed": {
            "metrics": {"accuracy": 0.9},
            "intervals": {"accuracy": interval(0.9)},
            "params": 12_345,
            "macs": 2_000_000,
            "flash_bytes": 35_448,
            "zip_bytes": 24_000,
            "arena_bytes": None,
            "arena_note": "TFLM has no kernel for CONV_3D",
            "latency_us": latency,
        },
        "difference": {"accuracy": interval(-0.01)},
        "conformance": {
            "step": 1 / 256,
            "pairs": [{"runtimes": ["Keras", "XNNPACK"], "n": 200, "equal_decisions": 0.995, "largest_steps": 3.5}],
            "missing": {"TFLM": "TFLM has no kernel for CONV_3D"},
        },
        "budget": [
            {"limit": "flash_bytes", "value": 40_000, "measured": 35_448, "holds": True, "note": ""},
            {"limit": "drop", "value": 0.02, "measured": 0.01, "holds": True, "note": ""},
        ],
        "recipe": {"name": "default", "chosen_by": "the caller", "steps": ["quantize"]},
        "audit": [
            {
                "slice": "word",
                "value": HOSTILE,
                "n": 50,
                "reference": 0.9,
                "compressed": 0.7,
                "difference": interval(-0.2),
                "verdict": "damaged",
            }
        ],
        "versions": {"python": "3.11"},
        "machine": {"system": "Linux", "processor": "any", "cores": 2},
    }
    row = StepRow(number=0, technique="reference", summary="", flash_bytes=98_296, validation=0.92, seconds=1.0)
    return ReportInput(
        title="toys",
        summary="Toys, told apart.",
        metrics=metrics,
        steps=(row, replace(row, number=1, technique="quantize", flash_bytes=35_448, validation=0.915)),
        labels=("car", HOSTILE),
        confusion_reference=((90, 10), (8, 92)),
        confusion_compressed=((88, 12), (8, 92)),
        curves={"reference": {"loss": [2.0, 1.0, 0.5], "validation": [0.5, 0.8, 0.92]}},
        layers={"1 quantize": (LayerChange(layer="stem", change="int8"),)},
        sections=(("penjing-toys 1.0", ReportSection(title="Shelf", html="<p>On the <b>shelf</b>.</p>")),),
        recipe_toml='name = "default"\n',
    )


class References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def test_the_fixture_is_a_valid_document(report: ReportInput) -> None:
    jsonschema.validate(report.metrics, load_metrics_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**report.metrics, "surprise": 1}, load_metrics_schema())


@pytest.mark.parametrize(
    ("median", "instructions", "said", "unsaid"),
    [
        (120.5, ["AVX2"], "1 thread, on any", "times"),
        (241.0, ["AVX2"], "2.0 times the float32 reference's: this processor multiplies no bytes (no VNNI)", "\0"),
        (241.0, ["AVX2", "AVX-512", "AVX512-VNNI"], "2.0 times the float32 reference's", "VNNI"),
        (241.0, None, "2.0 times the float32 reference's", "VNNI"),
    ],
)
def test_a_file_slower_than_float32_says_so_and_why(
    report: ReportInput, median: float, instructions: list[str] | None, said: str, unsaid: str
) -> None:
    latency = report.metrics["compressed"]["latency_us"]
    machine = {**report.metrics["machine"], **({} if instructions is None else {"instructions": instructions})}
    metrics = {
        **report.metrics,
        "compressed": {**report.metrics["compressed"], "latency_us": {**latency, "p50": median}},
        "machine": machine,
    }
    jsonschema.validate(metrics, load_metrics_schema())
    page = html.unescape(render_report(replace(report, metrics=metrics)))
    text = _terminal(metrics)
    line = next(line for line in text.splitlines() if line.startswith("latency: "))
    assert said in line and unsaid not in line
    assert line.removeprefix("latency: ") in page


def test_a_latency_of_another_kind_is_not_explained_by_bytes(report: ReportInput) -> None:
    latency = report.metrics["compressed"]["latency_us"]
    metrics = {
        **report.metrics,
        "compressed": {**report.metrics["compressed"], "latency_us": {**latency, "p50": 241.0}},
        "machine": {**report.metrics["machine"], "instructions": ["AVX2"]},
        "recipe": {**report.metrics["recipe"], "steps": ["prune-channels"]},
    }
    assert "VNNI" not in _terminal(metrics)


def test_a_number_stands_where_no_line_runs() -> None:
    drawing = size_and_metric(["reference", "prune", "distill"], [300, 150, 150], [0.81, 0.77, 0.79], "accuracy")
    _, _, line = str(drawing).partition("<polyline")
    dots = [float(y) for y in re.findall(r'<circle [^>]*cy="([\d.]+)"', line)]
    numbers = [float(y) for y in re.findall(r'<text class="value" [^>]*y="([\d.]+)"', line)]
    assert [number > dot for number, dot in zip(numbers, dots, strict=True)] == [False, True, False]


def test_the_processors_instructions_are_those_that_the_system_names() -> None:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split() if Path("/proc/cpuinfo").is_file() else []
    found = machine().get("instructions", [])
    for flag, name in (("avx2", "AVX2"), ("avx512f", "AVX-512"), ("avx512_vnni", "AVX512-VNNI"), ("i8mm", "I8MM")):
        assert (name in found) == (flag in flags)


def test_nothing_comes_from_anywhere_else(report: ReportInput) -> None:
    page = render_report(report)
    parser = References()
    parser.feed(page)
    assert all(reference.startswith("data:") for reference in parser.found)
    assert "script" not in parser.tags and "@import" not in page and "url(" not in page
    assert "http" not in page


def test_names_from_data_are_shown_and_never_run(report: ReportInput) -> None:
    page = render_report(report)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 3


def test_the_headline_says_what_came_out(report: ReportInput) -> None:
    text = re.sub(r"<[^>]+>", " ", render_report(report))
    assert "Within the budget" in text
    assert "35,448 bytes of flash, 2.8 times smaller than the float32 reference" in text
    assert "accuracy -0.0100 [-0.0300, +0.0100] against the reference on 200 test examples" in text
    assert "no difference that this test part can show" in text
    assert "The data is synthetic" in text
    assert "TFLM has no kernel for CONV_3D" in text
    assert "This section is from penjing-toys 1.0" in text
    assert "damaged" in text


def test_what_is_left_of_each_layer_is_drawn_where_there_are_numbers(report: ReportInput) -> None:
    counted = LayerChange(layer="stem", change="24 -> 14 channels", before=24, after=14, unit="channels")
    uncounted = LayerChange(layer="head", change="left alone")
    page = render_report(replace(report, layers={"1 prune": (counted, uncounted), "2 other": (uncounted,)}))
    assert page.count("channels of each layer, before and after") == 1
    widths = [float(width) for width in re.findall(r'class="(?:before|bar)" x="190" y="8" width="([\d.]+)"', page)]
    assert widths[1] / widths[0] == pytest.approx(14 / 24, abs=0.001)
    assert "14 of 24" in page


def test_a_broken_budget_and_a_loss_beyond_chance_are_called_so(report: ReportInput) -> None:
    metrics = json.loads(json.dumps(report.metrics))
    metrics["budget"][0].update(holds=False, measured=50_000)
    metrics["difference"]["accuracy"] = interval(-0.1)
    text = re.sub(r"<[^>]+>", " ", render_report(replace(report, metrics=metrics)))
    assert "Outside the budget: flash" in text
    assert "a loss beyond chance" in text


def test_a_baseline_that_does_better_is_not_hidden(report: ReportInput) -> None:
    assert "The baseline does better" not in render_report(report)
    metrics = json.loads(json.dumps(report.metrics))
    metrics["baselines"][0]["metrics"]["accuracy"] = 0.95
    assert "The baseline does better: nearest neighbour has accuracy 0.9500" in render_report(
        replace(report, metrics=metrics)
    )


def test_the_best_baseline_stands_in_the_table_and_all_of_them_below(report: ReportInput) -> None:
    page = render_report(report)
    table, _, rest = page.partition("<h3>All baselines</h3>")
    assert "0.6000" in table and "0.5000" not in table
    assert "nearest neighbour" in rest and "majority" in rest and "0.5000" in rest
    assert "another baseline: majority, accuracy 0.5000" in _terminal(report.metrics)


def test_without_a_baseline_the_table_has_no_column_for_it(report: ReportInput) -> None:
    page = render_report(replace(report, metrics={**report.metrics, "baselines": []}))
    assert "aseline" not in page


def test_a_metric_where_less_is_better_turns_the_verdict_round(report: ReportInput) -> None:
    metrics = json.loads(json.dumps(report.metrics))
    metrics["directions"]["accuracy"] = "lower"
    metrics["difference"]["accuracy"] = interval(-0.1)
    assert "better than the reference" in render_report(replace(report, metrics=metrics))


def test_brackets_in_a_name_are_printed_and_not_taken_for_markup(report: ReportInput) -> None:
    metrics = json.loads(json.dumps(report.metrics))
    metrics["data"]["source"] = "clips [raw] [/]"
    assert "clips [raw] [/]" in _terminal(metrics)


# Headless Chromium makes no window narrower than 500 px, so a phone's width is a frame's.
FRAME = """<!doctype html><title>frame</title>
<iframe src="report.html" style="width:{width}px;height:2000px;border:0"></iframe>
<script>
document.querySelector("iframe").onload = (event) => {{
  const page = event.target.contentDocument.documentElement;
  document.body.dataset.width = event.target.contentWindow.innerWidth;
  document.body.dataset.overflow = page.scrollWidth > page.clientWidth;
  document.body.dataset.tallest = Math.max(
    ...[...page.querySelectorAll("table:not(.matrix) thead th")].map((cell) => cell.offsetHeight));
}};
</script>
"""


@pytest.mark.parametrize("width", [320, 400, 1300])
def test_no_width_makes_the_whole_page_scroll_sideways(report: ReportInput, tmp_path: Path, width: int) -> None:
    metrics = json.loads(json.dumps(report.metrics))
    metrics["data"]["source"] = "a_name_without_a_space_" * 12
    (tmp_path / "report.html").write_text(render_report(replace(report, metrics=metrics)), encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width), encoding="utf-8")
    done = browse(frame, tmp_path, "--allow-file-access-from-files", "--window-size=1400,2100")
    assert f'data-width="{width}"' in done.stdout, done.stdout
    assert 'data-overflow="false"' in done.stdout
    tallest = re.search(r'data-tallest="(\d+)"', done.stdout)
    assert tallest and int(tallest[1]) < 100, "a column is squeezed to a letter a line"


def test_a_real_browser_shows_it_without_complaint(report: ReportInput, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_report(report), encoding="utf-8")
    done = browse(page, tmp_path, "--window-size=1300,900", f"--screenshot={tmp_path / 'page.png'}")
    assert "CONSOLE" not in done.stderr, done.stderr
    assert "Reference against compressed" in done.stdout
    assert done.stdout.count("<svg") == 4  # difference, size, metric, training curves
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_the_browser_test_sees_console_errors(tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text("<!doctype html><title>x</title><svg><polyline points='1,nan'/></svg>", encoding="utf-8")
    assert "CONSOLE" in browse(page, tmp_path).stderr


def browse(page: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Opens the page in headless Chromium: the DOM on stdout, console messages on stderr."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        # CI installs one: a skip there would hide that the page was never looked at.
        assert not os.environ.get("CI"), "CI has no Chromium"
        pytest.skip("no Chromium here (Debian's package `chromium`): the page is not looked at in a browser")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--dump-dom"]
    return subprocess.run(
        [chromium, *flags, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
