"""Refuse a budget that nothing can meet, before anything is trained."""

from __future__ import annotations

import contextlib
from typing import Any

from penjing.compression.model_tree import count_parameters
from penjing.compression.pruning.criteria import magnitude
from penjing.compression.pruning.selection import Limits, Selector
from penjing.compression.structure.cost import CostModel
from penjing.compression.structure.graph import ChannelGraph
from penjing.compression.structure.surgery import remove_atoms
from penjing.contract import ExportSettings
from penjing.errors import BudgetError, PenjingError
from penjing.export.trial import file_cost
from penjing.verify.limits import Budget

OPERATORS_WEIGH_BYTES = 8_192
"""Below this, operators and scales can outweigh the weights, so the file is written to know."""


def check_feasible(model: Any, budget: Budget) -> None:
    """Hold a budget's bytes and MACs against the smallest thing that the engine can make of a model: one channel left
    wherever channels may go, in int8.

    Raises:
        BudgetError: A limit is lower; the error names the nearest that can be met.
    """
    flash, macs = budget.limits.get("flash_bytes"), budget.limits.get("macs")
    tight = flash is not None and flash < max(count_parameters(model), OPERATORS_WEIGH_BYTES)
    if macs is None and not tight:
        return
    graph = ChannelGraph.from_model(model)
    removed = Selector(graph, magnitude(graph, 2), "global", Limits()).removed(1.0)
    least_macs = CostModel(graph).macs(removed)
    if macs is not None and macs < least_macs:
        raise _impossible("macs", f"{macs:,.0f} MACs", f"{least_macs:,} MACs", least_macs)
    if not tight:
        return
    assert flash is not None
    smallest = remove_atoms(graph, removed.tolist())[0]
    least = min(_file_sizes(smallest))
    if flash < least:
        raise _impossible("flash", f"{flash:,.0f} B", f"{least:,} B", least)


def _impossible(limit: str, asked: str, least: str, number: int) -> BudgetError:
    return BudgetError(
        f"no recipe can bring this model to {asked}",
        why=f"with one channel left wherever channels may go, in int8, it still has {least}",
        hint=f"{limit}={number} is the nearest that can be met; a smaller architecture goes lower",
    )


def _file_sizes(model: Any) -> list[int]:
    sizes = [file_cost(model, ExportSettings()).flash_bytes]
    # What cannot be quantized is as small as its float file.
    with contextlib.suppress(PenjingError):
        sizes.append(file_cost(model, ExportSettings(mode="int8")).flash_bytes)
    return sizes
