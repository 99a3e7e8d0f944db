"""The reference of the conformance kit: what each check wants, and what to do where it does not hold."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from source_docs import cell

INTRODUCTION = """# Conformance checks

What `penjing plugins check` and `penjing.testing.parametrize_with_checks` run. Each check is a test of its own with a
name.

A plugin declares its known failures, each with a reason, in `conformance.toml` beside the module that its entry point
names:

```toml
[known-failures.leak-detection]
check_arena_is_within_the_budget = "TensorFlow Lite Micro has no such operator yet"
```

The table's name is that of the domain, technique or exporter, or of the distribution where a plugin is checked by
itself, as one that observes. `penjing plugins check` shows each as known, with its reason. They are strict: once the
check holds again, the entry is a failure.

In a plugin's own tests `parametrize_with_checks` takes names, or subjects that say how to be quick, and known failures
that are nobody else's business:

```python
from penjing.testing import DomainUnderTest, parametrize_with_checks


@parametrize_with_checks(
    [DomainUnderTest("keyword-spotting", overrides=["reference.epochs=2"])],
    expected_failures={"check_model_beats_the_baseline": "two epochs are too few"},
)
def test_conformance(subject, check):
    check(subject)
```

`check_domain`, `check_technique` and `check_subject` give the same as a list of results. With
`pytest_plugins = ["penjing.testing.fixtures"]` in `conftest.py` two fixtures are there as well: `isolated_host` makes a
host of the plugin modules that it is given and of nothing that is installed; `fake_distributions` is a folder of
distributions, broken ones too, that new processes find.
"""

TITLES = {
    "plugin": "Any plugin",
    "declaration": "A domain: the declaration",
    "data": "A domain: the data",
    "model": "A domain: model, teacher, baselines, augmentation",
    "metrics": "A domain: metrics",
    "run": "A domain: one run from the sample to a bundle",
    "technique": "A technique",
    "exporter": "An exporter",
    "observer": "An observer",
}


def is_there() -> bool:
    """Whether this penjing has the kit."""
    return find_spec("penjing.testing") is not None


def page() -> str:
    """The page."""
    parts = [INTRODUCTION]
    for stage, checks in _by_stage().items():
        rows = ["| check | what must hold | where it does not |", "|---|---|---|"]
        rows += [f"| `{each.name}` | {cell(each.statement)} | {cell(each.remedy)} |" for each in checks]
        parts.append(f"## {TITLES.get(stage, stage)}\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _by_stage() -> dict[str, list[Any]]:
    from penjing.testing import conformance
    from penjing.testing.checks import Check

    found: dict[str, list[Any]] = {stage: [] for stage in TITLES}
    for name, value in vars(conformance).items():
        if name.endswith("CHECKS") and isinstance(value, tuple):
            for check in value:
                if isinstance(check, Check) and check not in found.setdefault(check.stage, []):
                    found[check.stage].append(check)
    return {stage: checks for stage, checks in found.items() if checks}
