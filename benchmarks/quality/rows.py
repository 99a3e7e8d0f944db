"""What is compared. A row is one way from the float network to a file; its stages run one after the other."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).resolve().parent / "recipes"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One worker process."""

    script: str
    environment: str
    """Of `environments`; "penjing" is the one that the benchmark itself runs in."""
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    """Options that name the folder of another row's last stage, or of this row's stage before: "previous"."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    tool: str
    what: str
    stages: tuple[Stage, ...]
    trains: bool
    """Whether it takes the task's epochs of compression."""


def _recipe_row(name: str) -> Row:
    text = (RECIPES / f"{name}.toml").read_text(encoding="utf-8")
    recipe = tomllib.loads(text)
    return Row(
        name=f"penjing-{name}",
        tool="penjing",
        what=recipe["summary"],
        stages=(Stage(script="penjing_recipe.py", environment="penjing", options={"recipe": text}),),
        trains=any(step.get("epochs") for step in recipe.get("steps", [])),
    )


def _torch_row(name: str, macs: float) -> Row:
    prune = Stage(script="torch_pruning_row.py", environment="torch-pruning", options={"macs": macs})
    convert = Stage(
        script="converter_row.py", environment="tfmot", options={"mode": "int8"}, needs={"weights": "previous"}
    )
    return Row(
        name=f"torch-pruning-{name}",
        tool="Torch-Pruning, TensorFlow's converter",
        what=f"Channels go until {macs:.0%} of the MACs are left; training; int8.",
        stages=(prune, convert),
        trains=True,
    )


def _tfmot_row(name: str, what: str, **options: Any) -> Row:
    stage = Stage(script="tfmot_row.py", environment="tfmot", options=options)
    return Row(name=f"tfmot-{name}", tool="tensorflow-model-optimization", what=what, stages=(stage,), trains=True)


def _converter_row(name: str, mode: str, what: str) -> Row:
    stage = Stage(script="converter_row.py", environment="tfmot", options={"mode": mode})
    return Row(name=name, tool="TensorFlow's converter", what=what, stages=(stage,), trains=False)


FLOAT_FILE = "converter-float32"
BASE = "converter-int8"
"""The row that the others are held against: what everybody has."""

OUR_RECIPES = (
    "float32",
    "int8",
    "finetune-int8",
    "five-eighths-int8",
    "half-int8",
    "twenty-kilobytes-int8",
    "half-distill-aware",
    "aware",
    "half-aware-int4",
    "trim-aware-int4-distill",
)
"""Files of `recipes/`, in the order of the table."""

ROWS = {
    row.name: row
    for row in (
        _converter_row(FLOAT_FILE, "float32", "The float network as it is, as a file."),
        _converter_row(BASE, "int8", "Post-training quantization to int8."),
        Row(
            name="ai-edge-quantizer",
            tool="ai-edge-quantizer",
            what="Post-training quantization to int8 of the converter's float file.",
            stages=(Stage(script="quantizer_row.py", environment="ai-edge-quantizer", needs={"float": FLOAT_FILE}),),
            trains=False,
        ),
        _tfmot_row("aware", "Quantization-aware training to int8.", prune=False),
        _tfmot_row(
            "prune-aware",
            "80 % of the weights become zero; quantization-aware training that keeps the zeros.",
            prune=True,
            sparsity=0.8,
        ),
        _torch_row("half", 0.5),
        _torch_row("third", 0.32),
        *map(_recipe_row, OUR_RECIPES),
    )
}
