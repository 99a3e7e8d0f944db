"""Write a file only to know what it weighs: for plans, budgets and targets of bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from penjing.contract import ExportSettings
from penjing.export.calibration import placeholder_calibration
from penjing.export.litert import to_litert
from penjing.export.quantizer import INTEGER_MODES
from penjing.measure.file_graph import FileGraph
from penjing.measure.macs import count_macs


@dataclass(frozen=True, kw_only=True)
class FileCost:
    """What a file has."""

    flash_bytes: int
    macs: int


def file_cost(model: Any, settings: ExportSettings) -> FileCost:
    """Bytes and MACs of a model's file. Where it needs calibration, the data only have the right shape: values of
    scales change with them, the number of bytes does not.

    Raises:
        ModelError: The converter cannot write the model in this form.
    """
    calibration = None
    if settings.mode in INTEGER_MODES:
        calibration = placeholder_calibration(model)
        settings = replace(settings, calibration_examples=len(calibration[0]))
    content = to_litert(model, settings, calibration)
    return FileCost(flash_bytes=len(content), macs=count_macs(FileGraph.from_bytes(content)).total)
