"""From a target to ranks: energy and MACs are counted, bytes are measured in files that are written for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras

from penjing.compression.factorization.rank_choice import Option, best_in_total, best_within, cheapest
from penjing.compression.model_tree import count_parameters
from penjing.compression.settings.factorization import FactorizeSettings
from penjing.contract import ExportSettings
from penjing.errors import ModelError
from penjing.export.trial import file_cost

_BYTES_PER_WEIGHT = {"float32": 4, "float16": 2, "dynamic": 1, "int8": 1}
_ROUNDS = 8
"""How often a file is written to find the ranks that a budget of bytes pays for."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a model has and what its file has."""

    macs: int
    flash_bytes: int
    parameters: int


class Measure:
    """MACs and bytes of a model, read from a file that is written for it."""

    def __init__(self, settings: FactorizeSettings) -> None:
        self.mode = settings.flash_format if settings.target == "flash" else "float32"

    def __call__(self, model: keras.Model) -> Size:
        cost = file_cost(model, ExportSettings(mode=self.mode))
        return Size(macs=cost.macs, flash_bytes=cost.flash_bytes, parameters=count_parameters(model))


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Layers that could be taken apart."""

    wholes: Mapping[str, Option]
    """Each layer as it is."""
    products: Mapping[str, list[Option]]
    """The products that are smaller, at least one for each layer."""

    def everything(self) -> dict[str, list[Option]]:
        """All ways to have each layer."""
        return {path: [self.wholes[path], *found] for path, found in self.products.items()}


def by_energy_or_macs(settings: FactorizeSettings, candidates: Candidates, before: Size) -> dict[str, Option]:
    """The product that each layer becomes; layers that stay whole are absent.

    Raises:
        ModelError: No ranks bring the model down to the MACs asked for.
    """
    chosen: dict[str, Option | None]
    if settings.target == "energy":
        chosen = {path: cheapest(found, settings.least_energy) for path, found in candidates.products.items()}
    elif settings.macs_scope == "layer":
        assert settings.macs is not None
        chosen = {
            path: best_within(found, settings.macs * candidates.wholes[path].macs)
            for path, found in candidates.products.items()
        }
    else:
        assert settings.macs is not None
        everything = candidates.everything()
        costs = {path: [float(option.macs) for option in found] for path, found in everything.items()}
        fixed = before.macs - sum(candidates.wholes[path].macs for path in candidates.products)
        target = macs_target(settings, before)
        budget = target - fixed
        found = best_in_total(everything, costs, budget)
        if found is None:
            least = fixed + sum(min(costs[path]) for path in costs)
            raise _unreachable(
                f"no ranks bring the model from {before.macs:,} to {target:,.0f} MACs",
                f"at rank 1 everywhere it has {least:,.0f} ({least / before.macs:.1%})",
                "macs",
            )
        chosen = {path: option for path, option in found.items() if option.method != "whole"}
    return {path: option for path, option in chosen.items() if option is not None}


def macs_target(settings: FactorizeSettings, before: Size) -> float:
    """MACs that the whole model may have."""
    assert settings.macs is not None
    return settings.macs * before.macs if settings.macs < 1 else settings.macs


def within_flash(
    settings: FactorizeSettings,
    candidates: Candidates,
    before: Size,
    build: Callable[[Mapping[str, Option]], keras.Model],
    measure: Callable[[keras.Model], Size],
) -> dict[str, Option]:
    """The ranks of least loss whose file has no more bytes than asked.

    Weights are counted exactly, what a further operator and its tensors cost is not known before the file is written.
    So the file is written, the difference taken into account, and the ranks are chosen anew, a few times.

    Args:
        build: Makes the model of a choice.

    Raises:
        ModelError: No file that was written is small enough.
    """
    assert settings.flash is not None
    if before.flash_bytes <= settings.flash:
        return {}
    weight = _BYTES_PER_WEIGHT[settings.flash_format]
    everything = candidates.everything()
    costs = {path: [float(weight * option.parameters) for option in found] for path, found in everything.items()}
    fixed = before.flash_bytes - sum(weight * candidates.wholes[path].parameters for path in candidates.products)
    best: tuple[float, dict[str, Option]] | None = None
    seen: list[dict[str, Option]] = []
    offset, smallest = 0.0, before.flash_bytes
    for _ in range(_ROUNDS):
        found = best_in_total(everything, costs, settings.flash - fixed - offset)
        if found is None:
            found = {path: min(ways, key=lambda way: (way.parameters, way.loss)) for path, ways in everything.items()}
        if found in seen:
            break
        seen.append(found)
        chosen = {path: option for path, option in found.items() if option.method != "whole"}
        reached = measure(build(chosen)).flash_bytes
        smallest = min(smallest, reached)
        loss = sum(option.loss for option in chosen.values())
        if reached <= settings.flash and (best is None or loss < best[0]):
            best = (loss, chosen)
        offset = reached - fixed - sum(weight * option.parameters for option in found.values())
    if best is None:
        raise _unreachable(
            f"no ranks were found whose {settings.flash_format} file has at most {settings.flash:,} bytes",
            f"the smallest that was written has {smallest:,}; the model as it is {before.flash_bytes:,}",
            "flash",
        )
    return best[1]


def _unreachable(what: str, why: str, setting: str) -> ModelError:
    return ModelError(what, why=why, hint=f"raise '{setting}', take patterns out of 'exclude', or prune channels")


def why_whole(settings: FactorizeSettings, options: list[Option]) -> str:
    """Why a layer stays whole that has products which are smaller."""
    if settings.target == "energy":
        most = 1.0 - min(option.loss for option in options)
        return f"products that are smaller keep at most {most:.1%} of its energy, not {settings.least_energy:.1%}"
    if settings.target == "macs" and settings.macs_scope == "layer":
        least = min(option.macs for option in options)
        return f"even the smallest product has {least:,} MACs, more than asked"
    return "the target is reached without it"
