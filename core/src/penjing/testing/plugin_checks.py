"""Checks of any plugin, whatever it contributes."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

from penjing.host.loading import check_hooks
from penjing.host.plugin_host import PluginHost
from penjing.testing.checks import ConformanceError, NotApplicableError
from penjing.testing.plugin_subject import HasPlugin
from penjing.testing.processes import run_python

HEAVY = ("tensorflow", "keras", "torch", "jax", "sklearn", "pandas", "matplotlib", "scipy.stats", "h5py")
"""What takes long to import, so that no listing and no help should wait for it."""


def check_declaring_module_is_light(subject: HasPlugin) -> None:
    """Importing the declaring module imports nothing heavy.

    Import only penjing.contract and penjing.hookimpl there; name everything else by import strings, and import what a
    function needs inside it.
    """
    module = _module_name(subject)
    code = (
        "import importlib, json, sys\n"
        f"importlib.import_module({module!r})\n"
        f"print('loaded:', json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = run_python(code)
    if done.returncode:
        raise ConformanceError(f"'{module}' cannot be imported:\n{done.stderr.strip()[-800:]}")
    loaded = re.search(r"loaded: \[(.*)\]", done.stdout)
    if loaded is None or loaded[1]:
        raise ConformanceError(f"'{module}' imports {loaded[1] if loaded else 'something that ends the process'}")


def check_declaring_module_is_quiet(subject: HasPlugin) -> None:
    """Importing the declaring module prints nothing.

    Whoever asks for `--json` wants one document; log with the module `logging` instead.
    """
    done = run_python(f"import importlib; importlib.import_module({_module_name(subject)!r})")
    said = (done.stdout + done.stderr).strip()
    if done.returncode == 0 and said:
        raise ConformanceError(f"it prints: {said[:200]!r}")


def check_hooks_are_well_formed(subject: HasPlugin) -> None:
    """Hook implementations have names and arguments that exist, are marked, and take no defaults.

    See penjing.hookspecs: each hook has an example that can be pasted.
    """
    _module_name(subject)
    target = subject.plugin.module
    assert subject.plugin.entry.point is not None
    if subject.plugin.entry.point.attr:
        target = subject.plugin.entry.point.load()
    problems = check_hooks(target, subject.plugin.entry.source)
    if problems:
        raise ConformanceError("\n".join(f"{problem.reason}; {problem.hint}" for problem in problems))


def check_plugin_works_in_the_host(subject: HasPlugin) -> None:
    """The host loads the plugin and finds nothing wrong with it, and it contributes something.

    See `penjing plugins info NAME`, which names the stage and the reason.
    """
    _module_name(subject)
    host = PluginHost.discover(log_problems=False)
    (status,) = [status for status in host.plugins if status.source == subject.plugin.entry.source]
    if status.status == "disabled":
        raise NotApplicableError("it is disabled by PENJING_DISABLE_PLUGINS")
    if status.problems:
        raise ConformanceError("\n".join(f"stage {problem.stage}: {problem.reason}" for problem in status.problems))
    if not status.contributes:
        raise ConformanceError("none of its hooks contributes anything")


def check_metadata_is_complete(subject: HasPlugin) -> None:
    """The distribution has a summary and a licence, and says which penjing it needs.

    In pyproject.toml fill `description` and `license`, and depend on "penjing>=0.1,<0.2".
    """
    try:
        about: Any = metadata.metadata(subject.plugin.entry.source.distribution)
    except metadata.PackageNotFoundError:
        raise NotApplicableError("it is not installed") from None
    missing = []
    if not about.get("Summary"):
        missing.append("description")
    licensed = about.get("License-Expression") or about.get("License") or about.get("License-File")
    if not licensed and not any("License ::" in value for value in about.get_all("Classifier") or ()):
        missing.append("license")
    needs = [re.split(r"[^A-Za-z0-9_.-]", text, maxsplit=1)[0].lower() for text in about.get_all("Requires-Dist") or ()]
    if subject.plugin.entry.source.distribution != "penjing" and "penjing" not in needs:
        missing.append("the dependency on penjing")
    if missing:
        raise ConformanceError(f"missing: {', '.join(missing)}")


def _module_name(subject: HasPlugin) -> str:
    if subject.plugin.module_name is None:
        raise NotApplicableError(subject.plugin.entry.fault or "it was given as an object, not by an installed plugin")
    return subject.plugin.module_name
