"""Every recipe that ships, on every small network of `small_networks.py`: does it come to its end, and what is left?

    python benchmarks/recipes.py run                    # goes on where it was interrupted
    python benchmarks/recipes.py run --networks lenet gru --recipes smallest
    python benchmarks/recipes.py table

Networks are trained for a few epochs on drawn data: the figures are about files, not about accuracy on anything real.
Each network runs in a process of its own.
"""

from __future__ import annotations

import argparse
import difflib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RECIPES = ("default", "smallest", "fastest", "accurate", "lossless")
SECONDS = 1800
"""A network's process is ended after this time."""


def run_all(output: Path, networks: list[str], recipes: list[str], again: bool) -> int:
    """Run what has no record.

    Returns:
        1 where a recipe failed, else 0.
    """
    output.mkdir(parents=True, exist_ok=True)
    failed = 0
    for network in networks:
        missing = [recipe for recipe in recipes if again or not _record(output, network, recipe).is_file()]
        if missing:
            command = [
                sys.executable,
                __file__,
                "one",
                "--output",
                output,
                "--networks",
                network,
                "--recipes",
                *missing,
            ]
            with (output / f"{network}.log").open("ab") as log:
                try:
                    subprocess.run(command, stdout=log, stderr=log, timeout=SECONDS, check=False)
                except subprocess.TimeoutExpired:
                    print(f"{network}: stopped after {SECONDS:,} s", flush=True)
        for recipe in recipes:
            path = _record(output, network, recipe)
            record = json.loads(path.read_text()) if path.is_file() else {"problem": "the process ended"}
            failed += "problem" in record
            if recipe in missing:
                print(f"{network} {recipe}: {_cell(record)}", flush=True)
    return int(failed > 0)


def _record(output: Path, network: str, recipe: str) -> Path:
    return output / f"{network}--{recipe}.json"


def run_one(output: Path, network: str, recipes: list[str]) -> None:
    """All recipes on one network, in this process."""
    from penjing.heavy import import_tensorflow

    import_tensorflow()
    import keras
    from small_networks import NETWORKS, data_for

    import penjing
    from penjing.bundle.atomic import write_json_atomically
    from penjing.errors import PenjingError
    from penjing.reporting import SilentReporter

    keras.utils.set_random_seed(0)
    model = NETWORKS[network]()
    data = data_for(model)
    _train(model, data)
    for recipe in recipes:
        folder, began = output / "runs" / network, time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        record: dict[str, Any] = {}
        try:
            done = penjing.compress(model, recipe, data=data, output=folder, reporter=SilentReporter(), budget="drop=1")
        except PenjingError as error:
            record["problem"] = str(error)
        except Exception as error:
            record["problem"] = f"{type(error).__name__}: {error}"
        else:
            metrics = done.metrics
            name = metrics["primary_metric"]
            for which in ("reference", "compressed"):
                record[which] = {key: metrics[which][key] for key in ("flash_bytes", "macs")}
                record[which]["metric"] = metrics[which]["metrics"][name]
            record["within_budget"] = done.within_budget
            record["warnings"] = metrics.get("warnings", [])
        record["seconds"] = round(time.monotonic() - began, 1)
        write_json_atomically(_record(output, network, recipe), record)
        shutil.rmtree(folder, ignore_errors=True)


def _train(model: Any, data: dict[str, Any]) -> None:
    import numpy as np

    x = {name.removeprefix("x."): values for name, values in data.items() if name != "y"}
    activation = getattr(getattr(model.layers[-1], "activation", None), "__name__", "")
    loss = {"softmax": "sparse_categorical_crossentropy", "sigmoid": "binary_crossentropy"}.get(activation, "mse")
    y = np.asarray(data["y"])
    if loss == "binary_crossentropy" and y.ndim < len(model.outputs[0].shape):
        y = y[..., None]
    model.compile("adam", loss)
    model.fit(x["x"] if list(x) == ["x"] else x, y, epochs=12, batch_size=32, verbose=0)


def _cell(record: dict[str, Any]) -> str:
    if "problem" in record:
        return f"failed: {record['problem'].splitlines()[0][:160]}"
    before, after = record["reference"]["flash_bytes"], record["compressed"]["flash_bytes"]
    return f"{before:,} -> {after:,} B ({after / before:.0%})" + ("" if record["within_budget"] else ", over budget")


def markdown(output: Path, networks: list[str], recipes: list[str]) -> str:
    """The records as a table; problems below it."""
    lines = [
        f"| network | float32, B | {' | '.join(f'`{recipe}`, B' for recipe in recipes)} |",
        "|---" * (len(recipes) + 2) + "|",
    ]
    problems = []
    for network in networks:
        cells, before = [], "-"
        for recipe in recipes:
            path = _record(output, network, recipe)
            record = json.loads(path.read_text()) if path.is_file() else {}
            if "problem" in record:
                problems.append(f"- {network}, `{recipe}`: {record['problem']}")
                cells.append("failed")
            elif record:
                before = f"{record['reference']['flash_bytes']:,}"
                cells.append(f"{record['compressed']['flash_bytes']:,}")
            else:
                cells.append("-")
        lines.append(f"| {network} | {before} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *problems])


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks/recipes.py", description=__doc__)
    parser.add_argument("verb", choices=("run", "table", "one"), help="'one' is what `run` starts for each network")
    parser.add_argument("--networks", nargs="+", default=[], help="all where none is named")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--output", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--again", action="store_true", help="also what has a record")
    options = parser.parse_args()
    if options.verb == "one":
        run_one(options.output, options.networks[0], options.recipes)
        return 0
    from small_networks import NETWORKS

    for name in options.networks:
        if name not in NETWORKS:
            near = difflib.get_close_matches(name, NETWORKS, 1)
            parser.error(f"there is no network '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))
    networks = options.networks or list(NETWORKS)
    if options.verb == "table":
        print(markdown(options.output, networks, options.recipes))
        return 0
    return run_all(options.output, networks, options.recipes, options.again)


if __name__ == "__main__":
    sys.exit(main())
