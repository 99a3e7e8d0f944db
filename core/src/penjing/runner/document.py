"""metrics.json: all figures of a run as one document, in the form of `penjing.report/metrics.schema.json`."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

from penjing.contract import Split
from penjing.measure.latency import Latency
from penjing.runner.evaluation import Scores
from penjing.verify.audit import SliceAudit
from penjing.verify.limits import BudgetLine
from penjing.verify.statistics import Interval

SCHEMA_VERSION = 1
_VERSIONS_OF = ("penjing", "tensorflow", "keras", "ai-edge-litert", "tflite-micro", "numpy")


def interval_entry(interval: Interval) -> dict[str, Any]:
    """An interval as JSON; what is not finite becomes null."""
    return {key: finite(value) for key, value in asdict(interval).items()}


def finite(value: Any) -> Any:
    """The value, or None for NaN and infinity, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def model_entry(scores: Scores, *, params: int, macs: int, flash_bytes: int) -> dict[str, Any]:
    """The entry of one model."""
    return {**score_entry(scores), "params": params, "macs": macs, "flash_bytes": flash_bytes}


def score_entry(scores: Scores) -> dict[str, Any]:
    """Figures and intervals as JSON."""
    return {
        "metrics": dict(scores.metrics),
        "intervals": {name: interval_entry(value) for name, value in scores.intervals.items()},
    }


def latency_entry(latency: Latency) -> dict[str, Any]:
    """Latency as JSON."""
    return {
        "p50": latency.p50_us,
        "p99": latency.p99_us,
        "threads": latency.threads,
        "runtime": latency.runtime,
    }


def budget_entries(lines: Sequence[BudgetLine]) -> list[dict[str, Any]]:
    """Budget lines as JSON."""
    return [{**asdict(line), "value": finite(line.value), "measured": finite(line.measured)} for line in lines]


def audit_entries(rows: Sequence[SliceAudit]) -> list[dict[str, Any]]:
    """Audit rows as JSON."""
    return [
        {
            "slice": row.slice,
            "value": row.value,
            "n": row.n,
            "reference": finite(row.reference),
            "compressed": finite(row.compressed),
            "difference": interval_entry(row.difference) if row.difference else None,
            "verdict": row.verdict,
        }
        for row in rows
    ]


def data_entry(
    source: str, sha256: str, synthetic: bool, parts: Mapping[str, Split], notes: Sequence[str]
) -> dict[str, Any]:
    """The data's entry: where it came from and how many examples each part has."""
    return {
        "source": source,
        "sha256": sha256,
        "synthetic": synthetic,
        **{name: len(split) for name, split in parts.items()},
        "notes": list(notes),
    }


def versions(plugin: str = "") -> dict[str, str]:
    """Versions of everything that a result depends on."""
    found = {"python": platform.python_version()}
    for name in _VERSIONS_OF:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    if plugin:
        name, _, version = plugin.rpartition(" ")
        found[name] = version
    return found


_INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX512-VNNI",
    "amx_int8": "AMX-INT8",
    "asimddp": "DOTPROD",
    "i8mm": "I8MM",
}
"""Names in Linux' list of what a processor can do, and those of its makers: of these int8's speed depends."""


def machine() -> dict[str, Any]:
    """What the latency was measured on."""
    processor = platform.processor() or platform.machine()
    found: dict[str, Any] = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            # One core after another; the first says it for all.
            entries = dict(reversed([line.strip().partition(":")[::2] for line in file]))
    except OSError:
        pass
    else:
        about = {key.strip(): value.split() for key, value in entries.items()}
        processor = " ".join(about.get("model name", ())) or processor
        abilities = {*about.get("flags", ()), *about.get("Features", ())}  # x86, ARM
        found["instructions"] = [name for key, name in _INSTRUCTIONS.items() if key in abilities]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor,
        "cores": os.cpu_count() or 1,
        **found,
    }
