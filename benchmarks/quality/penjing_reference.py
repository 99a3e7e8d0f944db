"""Train the float network that all rows start from, and leave its weights for the other libraries."""

from __future__ import annotations

import time
from pathlib import Path

import weights_exchange
from architectures import ARCHITECTURES
from job import Job
from penjing_bench import PROBES, bench_of, start
from tasks import BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY


def main(job: Job) -> None:
    """Train with the engine's own loop."""
    keras = start()
    import numpy as np

    from penjing.compression import checkpoint
    from penjing.compression.determinism import deterministic_kernels, seed_everything
    from penjing.compression.settings.training import TrainingSettings

    folder = Path(job.folder)
    bench = bench_of(job)
    began = time.monotonic()
    with deterministic_kernels():
        seed = seed_everything(job.seed, "reference")
        model = ARCHITECTURES[job.task](keras)
        settings = TrainingSettings(
            epochs=job.epochs, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        bench.trainer(seed, folder, "reference").fit(model, settings)
    seconds = time.monotonic() - began
    checkpoint.save_model(model, folder / "reference.keras")
    weights_exchange.save(folder / "weights.npz", weights_exchange.of_model(model))
    outputs = model.predict(job.arrays["x_validation"][:PROBES], verbose=0)
    np.savez(folder / "outputs.npz", outputs=outputs)
    for leftover in folder.glob("training-*.npz"):
        leftover.unlink()
    job.leave(seconds, ("penjing", "keras", "tensorflow"), f"validation accuracy {bench.evaluate(model):.4f}")


if __name__ == "__main__":
    main(Job.from_command_line())
