"""`penjing verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from penjing.commands.output import print_json
from penjing.runtime.interpreter import TensorInfo

PROBES = 64


@click.command(epilog="Example: penjing verify runs/demo/bundle")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def verify(ctx: click.Context, bundle: Path, as_json: bool) -> None:
    """Check a bundle from its files: hashes, its budget measured anew, and its runtimes against each other.

    Random inputs stand in for data, which a bundle does not carry; the drop of the metric is taken from the bundle.
    Exit with 1 when something does not hold.
    """
    document = _verify(bundle)
    holds = all(line["holds"] for line in document["budget"])
    if as_json:
        print_json({**document, "holds": holds})
    else:
        from penjing.report import wording

        click.echo(f"{bundle}: files are as they were written, {document['flash_bytes']:,} bytes of flash")
        click.echo(f"runtimes on {PROBES} random inputs: {wording.conformance_line(document['conformance'])}")
        for line in document["budget"]:
            verdict = "holds" if line["holds"] else "does not hold"
            note = f" ({line['note']})" if line["note"] else ""
            click.echo(f"budget: {wording.budget_line(line)}: {verdict}{note}")
        click.echo("verified" if holds else "outside its budget")
    ctx.exit(0 if holds else 1)


def _verify(path: Path) -> dict[str, Any]:
    from penjing.measure.file_graph import FileGraph
    from penjing.measure.latency import measure_latency
    from penjing.measure.macs import count_macs
    from penjing.measure.tflm import Arena, measure_arena, tflm_is_installed
    from penjing.runtime import load_bundle
    from penjing.verify.conformance import check_conformance
    from penjing.verify.limits import Budget

    bundle = load_bundle(path)
    content = bundle.model_bytes
    inputs = {str(number): probe(info) for number, info in enumerate(bundle.model.inputs)}
    conformance = check_conformance(
        content,
        inputs if len(inputs) > 1 else inputs["0"],
        task=bundle.manifest.task,  # type: ignore[arg-type]
        threshold=bundle.manifest.decision_threshold,
    )
    arena = (
        measure_arena(content)
        if tflm_is_installed()
        else Arena(arena_bytes=None, note="tflite-micro is not installed: pip install 'penjing[microcontroller]'")
    )
    recorded = {line.limit: line for line in bundle.manifest.budget}
    drop = recorded["drop"].measured if "drop" in recorded else None
    lines = Budget.parse({limit: line.value for limit, line in recorded.items()}).check(
        {
            "flash_bytes": float(len(content)),
            "arena_bytes": None if arena.arena_bytes is None else float(arena.arena_bytes),
            "macs": float(count_macs(FileGraph.from_bytes(content)).total),
            "latency_us": measure_latency(content).p50_us,
            "drop": drop,
        },
        {"arena_bytes": arena.note, "drop": "as the bundle says; measuring it needs the data"},
    )
    return {
        "bundle": str(path),
        "flash_bytes": len(content),
        "conformance": conformance.to_json(),
        "budget": [vars(line) for line in lines],
    }


def probe(info: TensorInfo) -> np.ndarray:
    """Random inputs that fill the range of a quantized input, or are standard normal; float32, (n, *shape)."""
    generator = np.random.default_rng(0)
    shape = (PROBES, *info.shape[1:])
    if not info.scale:
        return generator.normal(size=shape).astype(np.float32)
    limits = np.iinfo(info.dtype)
    steps = generator.integers(limits.min, limits.max + 1, shape) - info.zero_point
    return (steps * info.scale).astype(np.float32)
