"""How long `penjing --help` takes, beside a Python that only imports click.

python benchmarks/help_speed.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 20


def greedy_plugin(folder: Path) -> None:
    """A distribution whose module imports TensorFlow at its top."""
    (folder / "penjing_greedy.py").write_text("import tensorflow\n")
    info = folder / "penjing_greedy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: penjing-greedy\nVersion: 1.0\nSummary: Greedy.\nKeywords: penjing-domain\n"
    )
    (info / "entry_points.txt").write_text("[penjing]\ngreedy = penjing_greedy\n")


def median_seconds(command: list[str], env: dict[str, str]) -> float:
    """Median of whole processes, after one that warms the disk cache."""
    times = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> None:
    """Measure and print."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        greedy_plugin(Path(folder))
        env["PYTHONPATH"] = folder
        script = Path(sys.executable).parent / "penjing"
        seconds = median_seconds([str(script), "--help"], env)
        click = median_seconds([sys.executable, "-c", "import click"], env)
    print(
        f"penjing --help: {seconds:.3f} s, import click: {click:.3f} s, ratio {seconds / click:.2f} (median of {RUNS})"
    )


if __name__ == "__main__":
    main()
