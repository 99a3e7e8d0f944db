"""The table that ends a run in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from penjing.report import wording


def print_summary(console: Console, metrics: Mapping[str, Any], *, report: Path | None, bundle: Path | None) -> None:
    """Reference against compressed, the budget line by line, and where the report lies."""

    def say(text: str) -> None:
        console.print(text, highlight=False)

    data = metrics["data"]
    synthetic = ", SYNTHETIC data" if data["synthetic"] else ""
    table = Table(
        title=escape(f"{metrics['domain']}: {data['source']}{synthetic}"),
        caption=f"test part, {data['test']:,} examples, seed {metrics['seed']}; 95 % intervals in brackets",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("", overflow="fold")
    baseline = wording.best_baseline(metrics)
    if baseline:
        table.add_column("baseline", justify="right")
    for column in ("reference", "compressed"):
        table.add_column(column, justify="right")

    def row(label: str, first: str, second: str, simple: str = "") -> None:
        cells = [label, simple, first, second] if baseline else [label, first, second]
        table.add_row(*(escape(cell) for cell in cells))

    reference, compressed = metrics["reference"], metrics["compressed"]
    for name, value in compressed["metrics"].items():
        row(
            name,
            wording.with_interval(reference["intervals"].get(name), reference["metrics"].get(name)),
            wording.with_interval(compressed["intervals"].get(name), value),
            wording.metric_value(baseline["metrics"].get(name)) if baseline else "",
        )
    table.add_section()
    for label, key in (("flash", "flash_bytes"), ("parameters", "params"), ("MACs", "macs")):
        row(label, wording.in_unit(key, reference[key]), wording.in_unit(key, compressed[key]))
    row("zip (download)", "", wording.in_unit("zip_bytes", compressed["zip_bytes"]))
    arena = wording.in_unit("arena_bytes", compressed["arena_bytes"])
    row("arena (TFLM)", "", f"{arena}\n{compressed['arena_note']}".strip())
    row("latency p50 / p99", _latency(reference), _latency(compressed))
    console.print(table)
    if baseline:
        say(f"baseline: {escape(baseline['name'])}")
        name = metrics["primary_metric"]
        for other in metrics["baselines"][1:]:
            value = wording.with_interval(other["intervals"].get(name), other["metrics"].get(name))
            say(f"another baseline: {escape(other['name'])}, {escape(f'{name} {value}')}")
    say(f"latency: {escape(wording.latency_line(metrics))}")
    say(f"difference: {escape(wording.cost(metrics))}")
    say(f"runtimes: {escape(wording.conformance_line(metrics['conformance']))}")
    for line in metrics["budget"]:
        holds = "[green]holds[/green]" if line["holds"] else "[red]does not hold[/red]"
        note = f" ({escape(line['note'])})" if line["note"] else ""
        say(f"budget: {wording.budget_line(line)}: {holds}{note}")
    warning = wording.against_baseline(metrics)
    if warning:
        say(f"[yellow]{escape(warning)}[/yellow]")
    within, verdict = wording.verdict(metrics)
    say(f"[bold {'green' if within else 'red'}]{escape(verdict)}[/]; {wording.times_smaller(metrics)}")
    if bundle is not None:
        console.print(f"bundle: {escape(str(bundle))}", soft_wrap=True)
    if report is not None:
        console.print(f"report: {escape(str(report))}", soft_wrap=True)


def _latency(entry: Mapping[str, Any]) -> str:
    return f"{entry['latency_us']['p50']:,.1f} / {entry['latency_us']['p99']:,.1f} us"
