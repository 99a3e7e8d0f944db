"""Every hook that penjing calls, each with an example to paste.

A plugin is a module named by an entry point of the group `penjing`; it marks its functions with `penjing.hookimpl`.
Hooks return iterables of frozen dataclasses from `penjing.contract`. Observers return nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from penjing.contract import (
    Domain,
    Evaluation,
    Exporter,
    HealthCheck,
    OutcomeInfo,
    ReportSection,
    RunInfo,
    StepInfo,
    Target,
    Technique,
)

if TYPE_CHECKING:
    from penjing.recipe import Recipe

PROJECT = "penjing"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def penjing_domains() -> Iterable[Domain]:  # type: ignore[empty-body]
    """Domains that the plugin contributes: each becomes a command.

    Example:
        ```python
        from penjing import hookimpl
        from penjing.contract import Domain, Metric


        @hookimpl
        def penjing_domains():
            yield Domain(
                name="leak-detection",
                summary="Leaks in water pipes, heard by a contact microphone.",
                task="binary",
                load_data="penjing_leak_detection.data:load_data",
                build_model="penjing_leak_detection.models:build_model",
                metrics=(
                    Metric(
                        name="auc",
                        function="penjing_leak_detection.metrics:auc",
                        direction="higher",
                        primary=True,
                    ),
                ),
                recipes={"default": "penjing_leak_detection:recipes/default.toml"},
            )
        ```
    """


@hookspec
def penjing_techniques() -> Iterable[Technique]:  # type: ignore[empty-body]
    """Techniques that recipes may name as steps.

    Example:
        ```python
        from penjing import hookimpl
        from penjing.contract import Technique


        @hookimpl
        def penjing_techniques():
            yield Technique(
                name="ternarize-weights",
                summary="Weights become -a, 0 or +a, one a per channel.",
                settings="penjing_ternary.technique:Settings",
                apply="penjing_ternary.technique:apply",
                invariants=("penjing_ternary.technique:TernaryWeights",),
            )
        ```
    """


@hookspec
def penjing_exporters() -> Iterable[Exporter]:  # type: ignore[empty-body]
    """Other forms in which a finished bundle can be written.

    Example:
        ```python
        from penjing import hookimpl
        from penjing.contract import Exporter


        @hookimpl
        def penjing_exporters():
            yield Exporter(name="zip", summary="One zip file.", export="penjing_zip.export:write")
        ```
    """


@hookspec
def penjing_targets() -> Iterable[Target]:  # type: ignore[empty-body]
    """Devices that a budget may name.

    Example:
        ```python
        from penjing import hookimpl
        from penjing.contract import Target


        @hookimpl
        def penjing_targets():
            yield Target(
                name="small-m4",
                summary="A Cortex-M4 with 256 KiB of flash.",
                flash_bytes=262_144,
                ram_bytes=65_536,
            )
        ```
    """


@hookspec(firstresult=True)
def penjing_default_recipe(domain: Domain, budget: Mapping[str, Any]) -> Recipe | None:
    """The recipe for a run that names none; None leaves the decision to others. The report says who decided.

    Example:
        ```python
        from penjing import hookimpl
        from penjing.recipe import Recipe


        @hookimpl
        def penjing_default_recipe(domain, budget):
            if "flash" not in budget:
                return None
            return Recipe.from_toml('name = "tiny"\\n[[steps]]\\ntechnique = "quantize"\\n')
        ```
    """


@hookspec
def penjing_before_step(run: RunInfo, step: StepInfo) -> None:
    """Called before each step. What is raised here is logged with the plugin's name and stops nothing.

    Example:
        ```python
        from penjing import hookimpl


        @hookimpl
        def penjing_before_step(run, step):
            print(f"{run.domain}: step {step.number}, {step.technique}")
        ```
    """


@hookspec
def penjing_after_step(run: RunInfo, step: StepInfo, outcome: OutcomeInfo) -> None:
    """Called after each step, also when it was taken from its checkpoint.

    Example:
        ```python
        from penjing import hookimpl


        @hookimpl
        def penjing_after_step(run, step, outcome):
            print(f"{step.technique}: {outcome.metric} {outcome.value:.3f}, {outcome.flash_bytes} B")
        ```
    """


@hookspec
def penjing_run_finished(run: RunInfo) -> None:
    """Called once at the end, with `run.metrics` filled.

    Example:
        ```python
        from penjing import hookimpl


        @hookimpl
        def penjing_run_finished(run):
            print(run.metrics["compressed"]["flash_bytes"])
        ```
    """


@hookspec
def penjing_report_sections(  # type: ignore[empty-body]
    run: RunInfo, evaluation: Evaluation
) -> Iterable[ReportSection]:
    """Sections for report.html. `evaluation` has the outputs on the test part; leave it out where it is not needed.

    Example:
        ```python
        from penjing import hookimpl
        from penjing.contract import ReportSection


        @hookimpl
        def penjing_report_sections(run, evaluation):
            if run.domain == "leak-detection":
                certain = (evaluation.outputs["compressed"].max(axis=1) > 0.9).mean()
                yield ReportSection(title="How sure it is", html=f"<p>Above 0.9 on {certain:.0%} of the test part.</p>")
        ```
    """


@hookspec
def penjing_health_checks() -> Iterable[HealthCheck]:  # type: ignore[empty-body]
    """Lines for `penjing doctor`.

    Example:
        ```python
        from penjing import hookimpl
        from penjing.contract import HealthCheck


        @hookimpl
        def penjing_health_checks():
            yield HealthCheck(name="microphone", check="penjing_leak_detection.health:microphone")
        ```
    """
