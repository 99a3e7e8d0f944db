"""Checks of a short run: of the file that comes out, measured, and of what runs on the device."""

from __future__ import annotations

import json
import math
import shutil
from typing import Any

import numpy as np

from penjing.testing.arrays import head
from penjing.testing.checks import ConformanceError, NotApplicableError
from penjing.testing.domain_subject import DomainUnderTest
from penjing.testing.processes import blocking, run_python

EXAMPLES = 64
LEAST_AGREEMENT = 0.98
"""Share of equal decisions of one file on two runtimes."""


def check_run_ends_with_a_verified_bundle(subject: DomainUnderTest) -> None:
    """A run goes from the data to a bundle, a report and metrics.json.

    `penjing DOMAIN run --debug` shows the traceback.
    """
    run = subject.run
    for path in (run.bundle, run.report, run.folder / "metrics.json"):
        if path is None or not path.exists():
            raise ConformanceError(f"the run left no {path}")


def check_model_beats_the_baseline(subject: DomainUnderTest) -> None:
    """The file is better than the domain's first baseline in the primary metric, on the test part.

    Train longer or better, or say honestly that the simple thing is enough: it is then the better product. Put the
    simplest baseline first; bigger ones after it are comparisons, and stand in the report.
    """
    metrics = subject.run.metrics
    if not subject.domain.baselines:
        raise NotApplicableError("the domain has no baseline; the simple thing to beat is worth having")
    simplest = subject.resolve(subject.domain.baselines[0])(subject.splits, subject.seed).name
    name = metrics["primary_metric"]
    ours = metrics["compressed"]["metrics"][name]
    theirs = next(entry["metrics"][name] for entry in metrics["baselines"] if entry["name"] == simplest)
    if ours is None or not math.isfinite(ours):
        raise ConformanceError(f"{name} of the file is {ours}")
    if theirs is None:
        raise ConformanceError(f"{name} of the baseline '{simplest}' cannot be told")
    if not (ours > theirs if metrics["directions"][name] == "higher" else ours < theirs):
        raise ConformanceError(f"{name}: {ours:.4f} of the file, {theirs:.4f} of '{simplest}'")


def check_flash_is_within_the_budget(subject: DomainUnderTest) -> None:
    """The file is not larger than the domain's budget allows.

    Make the model narrower, add a compressing step, or state an honest budget.
    """
    _check_limit(subject, "flash_bytes")


def check_arena_is_within_the_budget(subject: DomainUnderTest) -> None:
    """The working memory in TFLM, measured, is within the domain's budget.

    The largest pair of activations decides it: stride earlier, or make the first layers narrower.
    """
    _check_limit(subject, "arena_bytes")


def check_macs_are_within_the_budget(subject: DomainUnderTest) -> None:
    """The multiply-accumulates of one inference are within the domain's budget.

    Stride earlier, or make the model narrower.
    """
    _check_limit(subject, "macs")


def check_latency_is_within_the_budget(subject: DomainUnderTest) -> None:
    """The median time of one inference, measured on this machine, is within the domain's budget.

    Make the model narrower, or state a limit that a slow machine can keep.
    """
    _check_limit(subject, "latency_us")


def check_drop_is_within_the_budget(subject: DomainUnderTest) -> None:
    """Compression costs no more of the primary metric than the domain's budget allows.

    See `penjing sensitivity`; try quantize-aware-training, or more calibration examples.
    """
    _check_limit(subject, "drop")


def check_runtimes_agree(subject: DomainUnderTest) -> None:
    """The file gives the same answers on LiteRT's reference kernels, on XNNPACK and on TFLM.

    The report's section on runtimes says where they part; int8 softmax and average pooling are the usual places.
    """
    worst = [
        f"{' and '.join(pair['runtimes'])} agree in {pair['equal_decisions']:.1%} of {pair['n']:,} decisions"
        for pair in subject.run.metrics["conformance"]["pairs"]
        if "Keras" not in pair["runtimes"]
        and pair["equal_decisions"] is not None
        and pair["equal_decisions"] < LEAST_AGREEMENT
    ]
    if worst:
        raise ConformanceError("; ".join(worst))


def check_same_seed_gives_the_same_figures(subject: DomainUnderTest) -> None:
    """Trained again with the same seed, the reference has the same figures.

    Draw everything from the seeds that load_data, build_model and augment are given.
    """
    first, again = (
        json.loads((folder / "reference" / "outcome.json").read_text(encoding="utf-8"))
        for folder in (subject.run.folder, subject.second_run)
    )
    if first["validation"] != again["validation"]:
        raise ConformanceError(f"on the validation part {first['validation']} and then {again['validation']}")
    if first["history"] != again["history"]:
        raise ConformanceError("the curves of the two trainings differ")


def check_bundle_makes_the_round_trip(subject: DomainUnderTest) -> None:
    """Copied elsewhere and read again, the bundle has its labels and parameters and gives the measured figure.

    Everything that prediction needs belongs into Splits.preprocessing, as JSON values.
    """
    from penjing.runtime import load_bundle

    metrics, splits = subject.run.metrics, subject.splits
    copy = subject.folder / "copy"
    shutil.copytree(subject.bundle.folder, copy, dirs_exist_ok=True)
    bundle = load_bundle(copy)
    if bundle.labels != tuple(splits.labels):
        raise ConformanceError(f"labels {bundle.labels} instead of {splits.labels}")
    if bundle.preprocessing != json.loads(json.dumps(dict(splits.preprocessing))):
        raise ConformanceError("the preprocessing parameters are others than those of the data")
    name = metrics["primary_metric"]
    (primary,) = [metric for metric in subject.domain.metrics if metric.primary]
    value = float(subject.resolve(primary.function)(splits.test.y, bundle.predict(splits.test.x)))
    if not math.isclose(value, metrics["compressed"]["metrics"][name], rel_tol=1e-6, abs_tol=1e-9):
        raise ConformanceError(f"{name} is {value}, the run says {metrics['compressed']['metrics'][name]}")


def check_predict_works_without_tensorflow(subject: DomainUnderTest) -> None:
    """`preprocess` and `predict` run where TensorFlow, Keras, PyTorch and JAX are not installed.

    Import numpy- and scipy-class packages only in predict.py and in whatever it imports; move what trains elsewhere.
    Name a function in `predict_example`, so that `predict` can be tried on real inputs.
    """
    domain = subject.domain
    device = [text for text in (domain.preprocess, domain.predict, domain.predict_example) if text]
    if not device:
        raise NotApplicableError("the domain has neither preprocess nor predict")
    probes = subject.folder / "probes.npz"
    part = subject.splits.validation
    raw = part.raw[:EXAMPLES] if domain.preprocess and part.raw is not None else None
    arrays = {"x": head(part.x, EXAMPLES)} if not isinstance(part.x, dict) else {}
    if isinstance(raw, np.ndarray) and raw.dtype != object:
        arrays["raw"] = raw
    np.savez(probes, **arrays)
    examples = subject.folder / "examples"
    examples.mkdir(exist_ok=True)
    done = run_python(
        blocking() + _ON_THE_DEVICE,
        json.dumps(
            {
                "bundle": str(subject.bundle.folder),
                "preprocess": domain.preprocess,
                "predict": domain.predict,
                "example": domain.predict_example,
                "options": {o.flag.lstrip("-").replace("-", "_"): _plain(o) for o in domain.predict_options},
                "probes": str(probes),
                "examples": str(examples),
                "seed": subject.seed,
            }
        ),
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise ConformanceError("\n".join(lines[-6:]) or f"the process ended with {done.returncode}")


_ON_THE_DEVICE = """
import importlib, json, sys
from pathlib import Path
import numpy as np
import penjing
from penjing.contract import PredictRequest

def resolve(text):
    module, _, name = text.partition(":")
    return getattr(importlib.import_module(module), name)

given = json.loads(sys.argv[1])
bundle = penjing.load_bundle(given["bundle"])
with np.load(given["probes"]) as file:
    probes = dict(file)
preprocess = resolve(given["preprocess"]) if given["preprocess"] else None
x = preprocess(probes["raw"], bundle.preprocessing) if preprocess and "raw" in probes else probes.get("x")
if x is not None:
    outputs = np.asarray(bundle.predict(x))
    assert len(outputs) == len(x) and np.isfinite(outputs).all(), "the outputs are not one finite row an example"
if given["predict"]:
    predict = resolve(given["predict"])
    if given["example"]:
        inputs = resolve(given["example"])(Path(given["examples"]), given["seed"])
        rows = list(predict(PredictRequest(bundle=bundle, inputs=tuple(map(str, inputs)), options=given["options"])))
        assert rows and all(isinstance(row, dict) for row in rows), f"predict gave {rows[:1]} for {inputs[:1]}"
        json.dumps(rows, default=lambda value: value.tolist())
loaded = sorted({"tensorflow", "keras", "torch", "jax"} & {name.split(".")[0] for name in sys.modules})
assert not loaded, f"imported: {loaded}"
"""


def _plain(option: Any) -> Any:
    return False if option.kind == "flag" and option.default is None else option.default


def _check_limit(subject: DomainUnderTest, limit: str) -> None:
    lines = [line for line in subject.run.metrics["budget"] if line["limit"] == limit]
    if not lines:
        raise NotApplicableError(f"the domain's budget has no limit of {limit}")
    (line,) = lines
    if line["measured"] is None:
        raise ConformanceError(f"it could not be measured: {line['note']}")
    if not line["holds"]:
        raise ConformanceError(f"measured {line['measured']:g}, the budget is {line['value']:g}")
