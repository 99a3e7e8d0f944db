"""Torch-Pruning: channels by group magnitude, isomorphic and global, to a share of the MACs; then training.

Leaves weights.npz in Keras' form; `converter_row` makes the file of it, as of any Keras model.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import weights_exchange
from job import Job
from tasks import BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY

STEPS = 100
"""The tool prunes in so many small steps; it stops at the first that is within the target."""


def main(job: Job) -> None:
    """Prune, train, leave the weights."""
    import torch
    import torch_pruning as tp
    from torch_networks import NETWORKS, load_weights, take_weights

    torch.manual_seed(job.seed)
    network = NETWORKS[job.task]()
    load_weights(network, weights_exchange.load(Path(job.reference) / "weights.npz"))
    network.eval()
    x, expected = job.probe
    inputs = torch.from_numpy(x)

    def outputs() -> np.ndarray:
        with torch.no_grad():
            found: np.ndarray = torch.softmax(network.eval()(inputs), dim=1).numpy()
        return found

    weights_exchange.check_outputs(expected, outputs(), "PyTorch")
    began = time.monotonic()
    example = inputs[:1]
    whole, _ = tp.utils.count_ops_and_params(network, example)
    pruner = tp.pruner.MagnitudePruner(
        network,
        example,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        isomorphic=True,
        pruning_ratio=0.9,
        iterative_steps=STEPS,
        ignored_layers=[network.classes],
    )
    for _ in range(STEPS):
        pruner.step()
        left, _ = tp.utils.count_ops_and_params(network, example)
        if left <= job.options["macs"] * whole:
            break
    else:
        raise ValueError(f"{job.options['macs']:.0%} of the MACs was not reached: {left / whole:.1%}")
    # An optimizer's group of kernels decays, as in the other libraries.
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": kernels, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        eps=1e-7,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, job.updates)
    x_train, y_train = (torch.from_numpy(job.arrays[f"{axis}_train"]) for axis in "xy")
    order = torch.Generator().manual_seed(job.seed)
    network.train()
    for _ in range(job.epochs):
        for rows in torch.randperm(len(y_train), generator=order).split(BATCH_SIZE):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x_train[rows]), y_train[rows]).backward()
            optimizer.step()
            schedule.step()
    seconds = time.monotonic() - began
    weights_exchange.save(Path(job.folder) / "weights.npz", take_weights(network))
    np.savez(Path(job.folder) / "outputs.npz", outputs=outputs())
    job.leave(seconds, ("torch", "torch-pruning"), f"{left / whole:.1%} of the MACs left")


if __name__ == "__main__":
    main(Job.from_command_line())
