"""What can be seen to be wrong with a contribution before it is used: a wrong one must not harm the others."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from penjing import contract

DOMAIN_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
RESERVED_DOMAIN_NAMES = frozenset(
    {
        "compare",
        "compress",
        "completion",
        "config",
        "datasets",
        "doctor",
        "domains",
        "explain",
        "export",
        "inspect",
        "model",
        "plugins",
        "recipes",
        "sensitivity",
        "verify",
    }
)
"""The command line's own verbs, and 'model', which names a run without a domain."""

OPTION_FLAG = re.compile(r"--[a-z][a-z0-9]*(-[a-z0-9]+)*|-[a-z]")
RESERVED_FLAGS = frozenset({"--bundle", "--help", "--inputs", "--json"})
"""What every `predict` command has already."""

OPTION_KINDS = ("flag", "text", "integer", "number", "path")


def contribution_fault(item: Any) -> str | None:
    """What is wrong with a contribution, as the end of a sentence that begins with what it is; None when nothing is.

    Only what a look at the object tells is checked: import strings are not followed here.
    """
    name = item.name
    if not isinstance(name, str) or not name.strip():
        return f"has the name {name!r}, which must be a text"
    if isinstance(item, contract.Domain):
        fault = _first_fault(item, _DOMAIN_CHECKS)
        if fault is not None:
            return fault
    if isinstance(item, contract.Target) and not (_is_size(item.flash_bytes) and _is_size(item.ram_bytes)):
        return f"has {item.flash_bytes!r} bytes of flash and {item.ram_bytes!r} of RAM, which must be whole numbers"
    return wrong_field(item)


def wrong_field(item: Any) -> str | None:
    """The first field that should be a text, or a tuple of texts, and is none: whoever lists it would stumble."""
    for field in dataclasses.fields(item):
        value, kind = getattr(item, field.name), str(field.type)
        if kind in ("str", "str | None"):
            if not isinstance(value, str) and not (value is None and kind == "str | None"):
                return f"has {field.name} {value!r}, which must be a text"
        elif kind == "tuple[str, ...]":
            if isinstance(value, str) or not isinstance(value, Sequence):
                return f"has {field.name} of type {type(value).__name__}, which must be a tuple of texts"
            wrong = next((each for each in value if not isinstance(each, str)), None)
            if wrong is not None:
                return f"has {wrong!r} among its {field.name}, which must be texts"
    return None


def _first_fault(domain: contract.Domain, checks: Sequence[Callable[[contract.Domain], str | None]]) -> str | None:
    return next((fault for check in checks if (fault := check(domain)) is not None), None)


def _version(domain: contract.Domain) -> str | None:
    version = domain.contract_version
    if isinstance(version, bool) or not isinstance(version, int):
        return f"states the contract version {version!r}, which must be a whole number"
    return None


def _name(domain: contract.Domain) -> str | None:
    if not DOMAIN_NAME.fullmatch(domain.name):
        return "has a name that is no command: it must be lower-case words joined by '-'"
    if domain.name in RESERVED_DOMAIN_NAMES:
        return "has the name of one of penjing's own commands"
    return None


def _task(domain: contract.Domain) -> str | None:
    tasks = get_args(contract.Task)
    return None if domain.task in tasks else f"has the task {domain.task!r}; choose one of: {', '.join(tasks)}"


def _metrics(domain: contract.Domain) -> str | None:
    metrics = domain.metrics
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        return f"has metrics of type {type(metrics).__name__}, which must be a tuple of Metric"
    wrong = next((metric for metric in metrics if not isinstance(metric, contract.Metric)), None)
    if wrong is not None:
        return f"has {wrong!r} among its metrics, which must be Metric objects"
    names = [metric.name for metric in metrics]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        return f"has two metrics named '{twice}'"
    primary = [metric.name for metric in metrics if metric.primary]
    if len(primary) != 1:
        return f"has {len(primary)} primary metrics ({', '.join(primary) or 'none'}), and must have exactly one"
    return None


def _tables(domain: contract.Domain) -> str | None:
    for field in ("recipes", "budget"):
        value = getattr(domain, field)
        if not isinstance(value, Mapping):
            return f"has {field} of type {type(value).__name__}, which must be a mapping"
    return None


def _baselines(domain: contract.Domain) -> str | None:
    given = domain.baselines
    if isinstance(given, str) or not isinstance(given, Sequence):
        return f"has baselines of type {type(given).__name__}, which must be a tuple of import strings"
    return None


def _predict_options(domain: contract.Domain) -> str | None:
    seen = set(RESERVED_FLAGS)
    for option in domain.predict_options:
        if not isinstance(option, contract.PredictOption):
            return f"has {option!r} among its predict_options, which must be PredictOption objects"
        if not OPTION_FLAG.fullmatch(str(option.flag)):
            return f"has the predict option {option.flag!r}, which must look like '--top-words' or '-k'"
        if option.flag in seen:
            return f"has the predict option '{option.flag}', which is taken"
        if option.kind not in OPTION_KINDS:
            return f"has the predict option '{option.flag}' of kind {option.kind!r}; choose one of: " + ", ".join(
                OPTION_KINDS
            )
        seen.add(option.flag)
    return None


# The version comes first: what another version of the contract means is not for this one to judge.
_DOMAIN_CHECKS = (_version, _name, _task, _metrics, _tables, _baselines, _predict_options)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
