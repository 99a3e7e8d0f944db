"""What of the contract goes with its next version, and which plugins still use it.

An entry is made in the release before the one that raises `contract.CONTRACT_VERSION`, and taken out by that one. Until
then the plugin works as before: whoever runs its tests sees a DeprecationWarning with its name and what to write
instead, and `penjing plugins list`, `info` and `check` say the same.
"""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

from penjing import contract
from penjing.host.loading import mark_of
from penjing.host.source import PluginSource

HOOKS: dict[str, str] = {}
"""What to write instead, by hook."""
ARGUMENTS: dict[tuple[str, str], str] = {}
"""What to write instead, by hook and argument."""
FIELDS: dict[tuple[str, str], str] = {}
"""What to write instead, by class of the contract and field. A field that has its default is not in use."""


def deprecated_hooks(module: Any) -> list[str]:
    """What a plugin's hook implementations use that is to go, a sentence each."""
    return [_sentence(what, instead) for what, instead in _in_hooks(module)]


def deprecated_fields(item: Any) -> list[str]:
    """What a contribution fills that is to go, a sentence each."""
    found = []
    for (kind, name), instead in FIELDS.items():
        if type(item).__name__ != kind:
            continue
        (declared,) = (each for each in dataclasses.fields(item) if each.name == name)
        default = declared.default if declared.default_factory is dataclasses.MISSING else declared.default_factory()
        if getattr(item, name) != default:
            found.append(_sentence(f"the field '{name}' of {kind} '{getattr(item, 'name', '')}'", instead))
    return found


def warn_of(source: PluginSource, sentence: str) -> None:
    """A DeprecationWarning that names the plugin; Python shows it in tests and under -W default."""
    warnings.warn(f"plugin {source}: {sentence}", DeprecationWarning, stacklevel=2)


def _in_hooks(module: Any) -> Iterator[tuple[str, str]]:
    if not HOOKS and not ARGUMENTS:
        return
    for name in dir(module):
        mark = mark_of(inspect.getattr_static(module, name, None))
        if mark is None:
            continue
        hook = mark.get("specname") or name
        if hook in HOOKS:
            yield f"the hook '{hook}'", HOOKS[hook]
        for argument in inspect.signature(getattr(module, name)).parameters:
            if (hook, argument) in ARGUMENTS:
                yield f"the argument '{argument}' of the hook '{hook}'", ARGUMENTS[hook, argument]


def _sentence(what: str, instead: str) -> str:
    return f"{what} goes with version {contract.CONTRACT_VERSION + 1} of the contract: {instead}"
