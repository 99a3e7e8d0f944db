"""Numbers and verdicts in words, the same on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LIMIT_NAMES = {
    "flash_bytes": "flash",
    "arena_bytes": "arena",
    "macs": "MACs",
    "latency_us": "latency (median)",
    "drop": "drop of the primary metric",
}


def in_unit(limit: str, value: float | None) -> str:
    """A figure with its unit: '39,928 B', '1,204 us'."""
    if value is None:
        return "not measured"
    if limit.endswith("_bytes"):
        return f"{value:,.0f} B"
    if limit.endswith("_us"):
        return f"{value:,.1f} us"
    if limit == "drop":
        return f"{value:.4f}"
    return f"{value:,.0f}"


def metric_value(value: float | None) -> str:
    """A metric with four decimals; large ones with fewer."""
    if value is None:
        return "not defined"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4f}"


def with_interval(entry: Mapping[str, Any] | None, value: float | None = None) -> str:
    """'0.9123 [0.8911, 0.9302]'; the value alone where there is no interval."""
    if not entry:
        return metric_value(value)
    if entry["low"] is None:
        return metric_value(entry["estimate"])
    return f"{metric_value(entry['estimate'])} [{metric_value(entry['low'])}, {metric_value(entry['high'])}]"


def times_smaller(metrics: Mapping[str, Any]) -> str:
    """'2.3 times smaller than the float32 reference', or how much larger."""
    before = metrics["reference"]["flash_bytes"]
    after = metrics["compressed"]["flash_bytes"]
    if after < before:
        return f"{before / after:.1f} times smaller than the float32 reference"
    if after == before:
        return "as large as the float32 reference"
    return f"{after / before:.2f} times as large as the float32 reference"


def verdict(metrics: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the budget holds, and the sentence that says so."""
    lines = metrics["budget"]
    broken = [LIMIT_NAMES[line["limit"]] for line in lines if not line["holds"]]
    if not lines:
        return True, "No budget was set"
    if broken:
        return False, "Outside the budget: " + ", ".join(broken)
    return True, "Within the budget"


def budget_line(line: Mapping[str, Any]) -> str:
    """A limit and what was measured: 'flash at most 32,000 B, measured 23,680 B'."""
    measured = in_unit(line["limit"], line["measured"])
    measured = measured if line["measured"] is None else f"measured {measured}"
    return f"{LIMIT_NAMES[line['limit']]} at most {in_unit(line['limit'], line['value'])}, {measured}"


def cost(metrics: Mapping[str, Any]) -> str:
    """What compression cost in the primary metric, with the interval and whether it is more than chance."""
    name = metrics["primary_metric"]
    entry = metrics["difference"].get(name)
    if not entry or entry["low"] is None:
        return f"the difference of {name} could not be estimated"
    higher = metrics["directions"][name] == "higher"
    low, high = entry["low"], entry["high"]
    if low <= 0 <= high:
        meaning = "no difference that this test part can show"
    elif (low > 0) == higher:
        meaning = "better than the reference"
    else:
        meaning = "a loss beyond chance"
    return (
        f"{name} {entry['estimate']:+.4f} [{low:+.4f}, {high:+.4f}] against the reference "
        f"on {entry['n']:,} test examples: {meaning}"
    )


SLOWER = 1.1
"""Latencies that differ by less are called alike."""
DOT_PRODUCTS = ("AVX-VNNI", "AVX512-VNNI", "AMX-INT8", "DOTPROD", "I8MM")
"""Instructions that multiply bytes and add the products into 32 bits."""


def latency_line(metrics: Mapping[str, Any]) -> str:
    """How latency was measured; where the file is slower than the float32 reference, that it is, and why."""
    before, after = (metrics[which]["latency_us"] for which in ("reference", "compressed"))
    line = f"{after['runtime']}, {after['threads']} thread, on {metrics['machine']['processor']}"
    if after["p50"] <= SLOWER * before["p50"]:
        return line
    line += f"; {after['p50'] / before['p50']:.1f} times the float32 reference's"
    instructions = metrics["machine"].get("instructions")
    rounded = any(step.startswith("quantize") for step in metrics["recipe"]["steps"])
    if rounded and instructions is not None and not set(DOT_PRODUCTS).intersection(instructions):
        line += (
            ": this processor multiplies no bytes (no VNNI), so 8-bit kernels widen them first. Where it counts is "
            "another machine: measure it there"
        )
    return line


def best_baseline(metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The entry of the best baseline; None where there is none."""
    return metrics["baselines"][0] if metrics["baselines"] else None


def against_baseline(metrics: Mapping[str, Any]) -> str | None:
    """A warning where a simple thing does better than the compressed model; None where it does not."""
    name, baseline = metrics["primary_metric"], best_baseline(metrics)
    if baseline is None:
        return None
    simple, ours = baseline["metrics"].get(name), metrics["compressed"]["metrics"].get(name)
    if simple is None or ours is None:
        return None
    better = simple > ours if metrics["directions"][name] == "higher" else simple < ours
    if not better:
        return None
    return (
        f"The baseline does better: {baseline['name']} has {name} {metric_value(simple)}, "
        f"the compressed model {metric_value(ours)}. Train longer, or give more data"
    )


def conformance_line(conformance: Mapping[str, Any]) -> str:
    """All runtimes in one line."""
    pairs = conformance["pairs"]
    parts = []
    if pairs:
        runtimes = list(dict.fromkeys(name for pair in pairs for name in pair["runtimes"]))
        worst = min(
            (pair["equal_decisions"] for pair in pairs if pair["equal_decisions"] is not None),
            default=None,
        )
        steps = max(pair["largest_steps"] for pair in pairs)
        text = ", ".join(runtimes)
        if worst is not None:
            text += f": same decision on at least {worst:.2%}"
        parts.append(f"{text}; largest difference {steps:g} output steps")
    parts += [f"{name} left out: {why}" for name, why in conformance["missing"].items()]
    return "; ".join(parts) or "not compared"
