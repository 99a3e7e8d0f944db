"""The engine's workbench on the benchmark's arrays. The test part is not on it."""

from __future__ import annotations

from typing import Any

from job import Job

PROBES = 32


def start() -> Any:
    """Import TensorFlow as penjing does, and return Keras."""
    from penjing.heavy import import_tensorflow

    import_tensorflow()
    from penjing.compression.determinism import fix_thread_order

    fix_thread_order()
    import keras

    return keras


def bench_of(job: Job, teacher: Any = None) -> Any:
    """A `Workbench`: accuracy, training and validation part, the job's seed, the float network as teacher."""
    from penjing.compression.workbench import Workbench
    from penjing.contract import Split
    from penjing.metrics import FUNCTIONS, named_metric
    from penjing.reporting import SilentReporter

    def part(name: str) -> Split:
        y = job.arrays[f"y_{name}"]
        return Split(x=job.arrays[f"x_{name}"], y=y, ids=[f"{name}-{row}" for row in range(len(y))])

    return Workbench(
        task="classification",
        metric=named_metric("accuracy"),
        metric_function=FUNCTIONS["accuracy"],
        train=part("train"),
        validation=part("validation"),
        labels=(),
        extra={},
        seed=job.seed,
        data_sha256=f"benchmark {job.task}",
        reporter=SilentReporter(),
        given_teacher=teacher,
    )
