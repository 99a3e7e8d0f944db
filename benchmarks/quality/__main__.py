"""The quality benchmark: penjing beside its peers, on the same data, networks, epochs and seeds.

python benchmarks/quality run --data ../shared/data      # goes on where it was interrupted
python benchmarks/quality table
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import table
from benchmark import Benchmark
from rows import ROWS
from tasks import TASKS


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks/quality", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--output", type=Path, default=Path("runs/quality"), help="results and artefacts")
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", parents=[common], help="make and measure what is not there yet")
    run.add_argument("--data", type=Path, default=Path(os.environ.get("PENJING_DATA", "../shared/data")))
    run.add_argument(
        "--environments", type=Path, default=Path.home() / ".cache/penjing/benchmarks", help="of the peers"
    )
    run.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    run.add_argument("--epochs", type=int, help="of the float network; the others in proportion")
    run.add_argument("--examples", type=int, help="at most so many of each part")
    run.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    run.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    verbs.add_parser("table", parents=[common], help="print the results as Markdown")
    options = parser.parse_args()
    if options.verb == "table":
        print(table.markdown(options.output))
        return 0
    return Benchmark(
        output=options.output.resolve(),
        data=options.data.resolve(),
        environments=options.environments.resolve(),
        epochs=options.epochs,
        examples=options.examples,
    ).run(options.tasks, options.rows, range(options.seeds))


if __name__ == "__main__":
    sys.exit(main())
