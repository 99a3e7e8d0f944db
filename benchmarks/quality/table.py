"""The results as Markdown: means over the seeds, intervals, machine, versions, date."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rows import BASE, ROWS
from tasks import TASKS

from penjing.verify.statistics import Interval, bootstrap_interval, paired_difference

Result = dict[str, Any]

HEAD = (
    "| row | test accuracy, % | minus the converter's int8, points | flash, B | zip, B | arena, B | MACs | "
    "latency, us | seconds |",
    "|---|---|---|---|---|---|---|---|---|",
)


def markdown(output: Path) -> str:
    """A table for each task that has results.

    Args:
        output: What `run` was given as --output.
    """
    parts = [
        "Accuracy and difference are means over the seeds with a 95 % interval: the bootstrap draws {groups} of the "
        "test part, the same for every seed and row. Bytes, MACs and times are means over the seeds; the arena is the "
        "least with which TFLM runs the file; the latency is of LiteRT with one thread; seconds are from the loaded "
        "float network to the file."
    ]
    tables = [_task_table(output, task) for task in TASKS if (output / "results" / task).is_dir()]
    if not tables:
        return f"There are no results in {output}: run the benchmark first."
    return "\n\n".join([parts[0].format(groups="whole speakers or single images"), *tables])


def _task_table(output: Path, task: str) -> str:
    results = {row: _results(output / "results" / task / row) for row in ROWS}
    done = {row: [r for r in found if "accuracy" in r] for row, found in results.items()}
    done = {row: found for row, found in done.items() if found}
    with np.load(output / "data" / f"{task}-test.npz", allow_pickle=False) as archive:
        groups = archive["group"]
    lines = [f"### {TASKS[task].title}", ""]
    if done:
        lines += [_conditions(done), "", *HEAD]
    for row, found in done.items():
        base = done.get(BASE)
        lines.append(_line(row, found, None if row == BASE else base, groups))
    for row, found in results.items():
        for result in found:
            if "accuracy" not in result:
                why = result.get("skipped") or f"failed: {result['failed']}"
                lines.append(f"\n`{row}`, seed {result['seed']}: {why}")
    smallest = _smallest(done, groups)
    if smallest:
        lines += ["", smallest]
    lines += ["", *(_legend(row, found[0]) for row, found in done.items())]
    return "\n".join(lines)


def _legend(row: str, first: Result) -> str:
    note = first.get("note")
    return f"- `{row}`: {ROWS[row].tool}. {ROWS[row].what}" + (f" (Seed {first['seed']}: {note}.)" if note else "")


def _results(folder: Path) -> list[Result]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("seed-*.json"))]


def _correct(found: Sequence[Result]) -> np.ndarray:
    """1 where right, of shape (test examples, seeds)."""
    return np.array([[int(c) for c in result["correct"]] for result in found], np.float64).T


def _mean(_: Any, correct: Any) -> float:
    return float(np.mean(correct))


def accuracy(found: Sequence[Result], groups: np.ndarray) -> Interval:
    """Mean accuracy over the seeds. Shape of groups: (test examples,)."""
    correct = _correct(found)
    return bootstrap_interval(_mean, groups, correct, groups=_groups(groups))


def difference(found: Sequence[Result], base: Sequence[Result], groups: np.ndarray) -> Interval:
    """Mean accuracy minus that of another row, over the seeds that both have."""
    seeds = {r["seed"] for r in found} & {r["seed"] for r in base}
    both = [[r for r in each if r["seed"] in seeds] for each in (base, found)]
    return paired_difference(_mean, groups, _correct(both[0]), _correct(both[1]), groups=_groups(groups))


def _groups(groups: np.ndarray) -> np.ndarray | None:
    return None if len(np.unique(groups)) == len(groups) else groups


def _line(row: str, found: Sequence[Result], base: Sequence[Result] | None, groups: np.ndarray) -> str:
    right = accuracy(found, groups)
    cells = [f"`{row}`", f"{100 * right.estimate:.1f} ({100 * right.low:.1f} to {100 * right.high:.1f})"]
    if base is None:
        cells.append("")
    else:
        apart = difference(found, base, groups)
        cells.append(f"{100 * apart.estimate:+.1f} ({100 * apart.low:+.1f} to {100 * apart.high:+.1f})")
    cells += [f"{_average(found, key):,.0f}" for key in ("flash_bytes", "zip_bytes")]
    arena = [result["arena_bytes"] for result in found]
    cells.append(found[0]["arena_note"] if None in arena else f"{np.mean(arena):,.0f}")
    cells += [f"{_average(found, key):,.0f}" for key in ("macs", "latency_us", "seconds")]
    return "| " + " | ".join(cells) + " |"


def _average(found: Sequence[Result], key: str) -> float:
    return float(np.mean([result[key] for result in found]))


def _conditions(done: dict[str, list[Result]]) -> str:
    """Data, epochs, seeds, machine, versions; and a warning where not all of it is of one run."""
    every = [result for found in done.values() for result in found]
    jobs = [result["jobs"][0] for result in every]
    settings = {json.dumps([job["examples"], job["float_epochs"]], sort_keys=True) for job in jobs}
    machines = sorted({result["machine"] for result in every})
    examples, trained = jobs[0]["examples"], max(job["epochs"] for job in jobs)
    seconds = np.mean([result["reference_seconds"] for result in every])
    seeds = sorted({result["seed"] for result in every})
    versions = sorted({f"{name} {text}" for result in every for name, text in result["versions"].items()})
    mixed = "**These results are of different settings or machines and do not compare.** "
    return (
        f"{mixed if len(settings) > 1 or len(machines) > 1 else ''}"
        f"{examples['source']}: {examples['train']:,} training, {examples['validation']:,} validation, "
        f"{examples['test']:,} test examples. Float network {jobs[0]['float_epochs']} epochs ({seconds:.0f} s), rows "
        f"that train {trained} more. Seeds {', '.join(map(str, seeds))}. {'; '.join(machines)}; load average up to "
        f"{max(result['load'] for result in every):.1f}. {max(result['date'] for result in every)}. "
        f"{', '.join(versions)}."
    )


def _smallest(done: dict[str, list[Result]], groups: np.ndarray) -> str:
    """Which row is the smallest of those that are not shown to be worse than the converter's int8."""
    base = done.get(BASE)
    if base is None:
        return ""
    equal = [row for row, found in done.items() if row == BASE or difference(found, base, groups).high >= 0]
    row = min(equal, key=lambda name: _average(done[name], "flash_bytes"))
    return (
        f"Smallest file among the rows whose interval does not lie below the converter's int8: `{row}`, "
        f"{_average(done[row], 'flash_bytes'):,.0f} bytes."
    )
