"""What the engine does to every network of keras.applications: prune channels, quantize, remove what is dead.

    python benchmarks/coverage.py run        # goes on where it was interrupted
    python benchmarks/coverage.py table

The networks have random weights, ten classes, and the smallest input that they take. Each runs in a process of its own,
which frees the memory and may end as it likes.
"""

from __future__ import annotations

import argparse
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from coverage_of_network import STAGES

WORKER = Path(__file__).resolve().parent / "coverage_of_network.py"
MACS = 0.5
SECONDS = 3600
"""A network's process is ended after this time."""


def architectures() -> list[str]:
    """Names of all networks that the installed Keras builds."""
    import keras

    found = vars(keras.applications).items()
    return sorted(name for name, value in found if inspect.isfunction(value) and "weights" in _arguments(value))


def _arguments(function: Any) -> Any:
    return inspect.signature(function).parameters


def run_all(output: Path, names: list[str], macs: float, again: bool) -> int:
    """Run each network that has no finished record.

    Returns:
        1 where a process did not come to its end, else 0.
    """
    output.mkdir(parents=True, exist_ok=True)
    unfinished = 0
    for name in names:
        path = output / f"{name}.json"
        if not again and path.is_file() and json.loads(path.read_text()).get("finished"):
            continue
        command = [sys.executable, WORKER, name, str(path), str(macs)]
        try:
            ended = (
                f"ended with {subprocess.run(command, capture_output=True, timeout=SECONDS, check=False).returncode}"
            )
        except subprocess.TimeoutExpired:
            ended = f"was stopped after {SECONDS:,} s"
        record = json.loads(path.read_text()) if path.is_file() else {"name": name, "stages": {}}
        if not record.get("finished"):
            unfinished += 1
            record["stages"][record.pop("running", "build")] = {"problem": f"the process {ended}"}
            path.write_text(json.dumps(record, indent=1))
        problems = [f"{stage}: {done['problem']}" for stage, done in record["stages"].items() if "problem" in done]
        print(name, "; ".join(problems) or "all stages ran", flush=True)
    return int(unfinished > 0)


HEAD = (
    "| network | input | layers before, after | weights | MACs left | masked - smaller | removal changes | "
    "planning, s | surgery, s | float32 of the smaller, B | float32 - Keras | int8, B | int8 - Keras | remove-dead | "
    "peak, MB |",
    "|" + "---|" * 15,
)


def markdown(output: Path) -> str:
    """The records as a table; differences are shares of the largest output."""
    records = [json.loads(path.read_text()) for path in sorted(output.glob("*.json"))]
    lines = [*HEAD, *(_line(record) for record in records), ""]
    for record in records:
        for stage in STAGES:
            problem = record["stages"].get(stage, {}).get("problem")
            if problem:
                lines.append(f"- `{record['name']}`, {stage}: {problem}")
    worst = [r["stages"]["prune"]["difference"] for r in records if "difference" in r["stages"].get("prune", {})]
    if worst:
        lines.append(f"\n{len(worst)} of {len(records)} networks pruned; largest masked - smaller: {max(worst):.1e}.")
    return "\n".join(lines)


def _line(record: dict[str, Any]) -> str:
    build, prune, floats, int8, dead = (record["stages"].get(stage, {}) for stage in STAGES)
    peak = max((stage.get("peak_mb", 0) for stage in record["stages"].values()), default=0)
    gone = dead.get("weights_gone")
    cells = [
        record["name"],
        _cell(build, "input", "d"),
        f"{_cell(build, 'layers', 'd')}, {_cell(prune, 'layers_after', 'd')}",
        _cell(build, "weights", ",d"),
        _cell(prune, "macs_left", ".1%"),
        _cell(prune, "difference", ".1e"),
        _cell(prune, "removal_changes", ".1e"),
        _cell(prune, "planning_seconds", ".1f"),
        _cell(prune, "surgery_seconds", ".1f"),
        _cell(floats, "flash_bytes", ",d"),
        _cell(floats, "difference", ".1e"),
        _cell(int8, "flash_bytes", ",d"),
        _cell(int8, "difference", ".1e"),
        dead.get("skipped") or (_cell(dead, "difference", ".1e") + (f", {gone:,} weights gone" if gone else "")),
        f"{peak:,}",
    ]
    return "| " + " | ".join(cells) + " |"


def _cell(stage: dict[str, Any], key: str, form: str) -> str:
    if key in stage:
        return format(stage[key], form)
    return "failed" if "problem" in stage else "-"


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks/coverage.py", description=__doc__)
    parser.add_argument("verb", choices=("run", "table"))
    parser.add_argument("names", nargs="*", help="networks; all where none is named")
    parser.add_argument("--output", type=Path, default=Path("runs/coverage"))
    parser.add_argument("--macs", type=float, default=MACS)
    parser.add_argument("--again", action="store_true", help="also those that are done")
    options = parser.parse_args()
    if options.verb == "table":
        print(markdown(options.output))
        return 0
    return run_all(options.output, options.names or architectures(), options.macs, options.again)


if __name__ == "__main__":
    sys.exit(main())
