"""`penjing inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from penjing.commands.output import print_json, print_table
from penjing.errors import DataError, MissingExtraError, ModelError


@click.command(epilog="Example: penjing inspect runs/demo/bundle")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def inspect(path: Path, as_json: bool) -> None:
    """Bytes by kind, operators, types, MACs, arena and latency of a .tflite file or a bundle."""
    document = _look(path)
    if as_json:
        print_json(document)
        return
    kinds = ", ".join(f"{kind} {size:,}" for kind, size in document["bytes_by_kind"].items())
    click.echo(f"{path}: {document['flash_bytes']:,} bytes of flash ({kinds}); zip {document['zip_bytes']:,}")
    for side in ("inputs", "outputs"):
        for tensor in document[side]:
            click.echo(f"{side[:-1]}: {tensor['dtype']} {tensor['shape']}, scale {tensor['scale']:g}")
    arena = document["arena_bytes"]
    note = document["arena_note"] or "not measured"
    click.echo(f"arena (TFLM): {arena:,} bytes" if arena is not None else f"arena (TFLM): {note}")
    latency = document["latency_us"]
    click.echo(
        f"latency: p50 {latency['p50']:,.1f} us, p99 {latency['p99']:,.1f} us "
        f"({latency['runtime']}, {latency['threads']} thread)"
    )
    print_table(
        ("operator", "count", "MACs"),
        [(row["name"], str(row["count"]), f"{row['macs']:,}") for row in document["operators"]],
    )
    click.echo(f"{document['macs']:,} MACs in all")


def _look(path: Path) -> dict[str, Any]:
    from penjing.measure.file_graph import FileGraph
    from penjing.measure.latency import measure_latency
    from penjing.measure.macs import count_macs
    from penjing.measure.tflm import measure_arena
    from penjing.runtime import LiteRTModel, load_bundle

    if path.is_dir():
        content = load_bundle(path).model_bytes
    else:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError("the file cannot be read", where=str(path), why=str(error)) from error
    try:
        graph = FileGraph.from_bytes(content)
        model = LiteRTModel(content)
    except ModelError as error:
        raise ModelError(error.what, where=str(path), why=error.why, hint=error.hint) from error
    macs = count_macs(graph)
    by_name: dict[str, int] = {}
    for name, count in macs.by_operator:
        by_name[name] = by_name.get(name, 0) + count
    try:
        arena = measure_arena(content)
        arena_bytes, note = arena.arena_bytes, arena.note
    except MissingExtraError as error:
        arena_bytes, note = None, f"{error.what}: {error.hint}"
    latency = measure_latency(content)
    return {
        "flash_bytes": len(content),
        "zip_bytes": graph.zip_bytes,
        "bytes_by_kind": graph.bytes_by_kind,
        "operators": [
            {"name": name, "count": count, "macs": by_name.get(name, 0)}
            for name, count in graph.operator_counts().items()
        ],
        "weights_by_dtype": _weights_by_dtype(graph),
        "inputs": [vars(info) for info in model.inputs],
        "outputs": [vars(info) for info in model.outputs],
        "macs": macs.total,
        "arena_bytes": arena_bytes,
        "arena_note": note,
        "latency_us": {
            "p50": latency.p50_us,
            "p99": latency.p99_us,
            "threads": latency.threads,
            "runtime": latency.runtime,
        },
    }


def _weights_by_dtype(graph: Any) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for tensor in graph.constants():
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + len(tensor.data)
    return sizes
