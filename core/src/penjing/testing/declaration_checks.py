"""Checks of a domain's declaration: nothing is loaded but the plugin's own modules."""

from __future__ import annotations

import re
from dataclasses import fields

from penjing.contract import CONTRACT_VERSION, Domain
from penjing.errors import PenjingError
from penjing.heavy import import_tensorflow
from penjing.testing.checks import ConformanceError, NotApplicableError
from penjing.testing.domain_subject import DomainUnderTest

_IMPORT_STRING = re.compile(r"[\w.]+:[\w.]+")
_NOT_CODE = {"recipes", "summary", "data_license", "intended_use", "name", "task", "split_by", "pretrained"}


def check_contract_version(subject: DomainUnderTest) -> None:
    """The domain is written for this version of the contract.

    Read what has changed, adapt the plugin, then state the new contract_version.
    """
    stated = subject.plugin.entry.contract_version
    if stated not in (None, subject.domain.contract_version):
        raise ConformanceError(f"the keyword says {stated}, the domain {subject.domain.contract_version}")
    if subject.domain.contract_version != CONTRACT_VERSION:
        raise ConformanceError(f"it states {subject.domain.contract_version}, this penjing has {CONTRACT_VERSION}")


def check_import_strings_resolve(subject: DomainUnderTest) -> None:
    """Every import string leads to something that can be called.

    Write "package.module:function", and install the package in the environment that is checked.
    """
    import_tensorflow()  # quietly, before a module of the domain does it
    wrong = []
    for name, import_string in import_strings(subject.domain):
        try:
            found = subject.resolve(import_string)
        except PenjingError as error:
            wrong.append(f"{name}: {error}")
            continue
        if not callable(found):
            wrong.append(f"{name}: '{import_string}' is a {type(found).__name__}, which cannot be called")
    if wrong:
        raise ConformanceError("\n".join(wrong))


def check_recipes_are_valid(subject: DomainUnderTest) -> None:
    """Every recipe is in the package, and its steps and settings are known; one is called 'default'.

    Put the files into the package, and name them in `recipes` as "package:recipes/default.toml".
    """
    from penjing.compression.plan import plan_steps, reference_training
    from penjing.runner.domain_run import choose_recipe
    from penjing.verify.limits import Budget

    if "default" not in subject.domain.recipes:
        raise ConformanceError("there is no recipe 'default'")
    wrong = []
    for name in subject.domain.recipes:
        try:
            recipe, _ = choose_recipe(subject.host, subject.contribution, name, Budget({}))
            plan_steps(recipe, subject.host, subject.host.resolve)
            reference_training(recipe)
        except PenjingError as error:
            wrong.append(f"recipe '{name}': {error}")
    if wrong:
        raise ConformanceError("\n".join(wrong))


def check_budget_can_be_read(subject: DomainUnderTest) -> None:
    """The default budget is one that penjing can read.

    Write limits as the command line spells them: {"flash": "40KB", "drop": "0.02"}.
    """
    from penjing.verify.limits import Budget

    Budget.parse(dict(subject.domain.budget))


def check_help_lists_the_domain(subject: DomainUnderTest) -> None:
    """`penjing --help` lists the domain without importing it.

    In pyproject.toml put 'penjing-domain' among the keywords, and give the entry point the domain's name.
    """
    from penjing.host.discovery import domain_entries

    if subject.plugin.module_name is None:
        raise NotApplicableError("the domain was given as an object, not by an installed plugin")
    if subject.name not in {entry.source.entry_point for entry in domain_entries()}:
        raise ConformanceError(f"no entry point '{subject.name}' of a distribution with the keyword 'penjing-domain'")


def check_states_licence_and_use(subject: DomainUnderTest) -> None:
    """The domain says under which licence its data comes and what the model is for.

    Fill `data_license` and `intended_use`: both go into every bundle.
    """
    missing = [name for name in ("data_license", "intended_use", "summary") if not getattr(subject.domain, name)]
    if missing:
        raise ConformanceError(f"empty: {', '.join(missing)}")


def import_strings(domain: Domain) -> list[tuple[str, str]]:
    """(field, import string) of everything that a domain names as code."""
    found = []
    for field in fields(domain):
        value = getattr(domain, field.name)
        if field.name in _NOT_CODE:
            continue
        if isinstance(value, str) and value:
            found.append((field.name, value))
        elif isinstance(value, tuple):
            found += [
                (f"{field.name}[{index}]", item)
                for index, item in enumerate(value)
                if isinstance(item, str) and _IMPORT_STRING.fullmatch(item)
            ]
    found += [(f"metric {metric.name}", metric.function) for metric in domain.metrics]
    return found
