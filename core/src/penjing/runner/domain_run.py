"""The one click runner: a domain from its raw data to a verified bundle."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, cast

import numpy as np

from penjing.contract import Domain, Splits
from penjing.errors import PluginError, RecipeError, did_you_mean
from penjing.heavy import import_tensorflow
from penjing.host import Contribution, PluginHost
from penjing.recipe import Recipe
from penjing.runner.folder import RunFolder, run_key, runs_folder
from penjing.runner.result import RunResult, finished_result
from penjing.verify.limits import Budget

DEFAULT = "default"


def run_domain(
    host: PluginHost,
    domain: Contribution[Domain],
    *,
    data: Path | None = None,
    recipe: str | None = None,
    budget: str | None = None,
    output: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    overrides: Sequence[str] = (),
    reporter: Any,
    until: str = "all",
) -> RunResult:
    """Run a domain.

    Args:
        data: The user's data; None takes the built-in sample.
        recipe: A recipe of the domain or a TOML file; None asks the plugins, then takes the domain's default.
        budget: Limits that replace the domain's own.
        output: The run folder; None makes runs/DOMAIN/RECIPE.
        overrides: Changes of the recipe, "reference.epochs=5".
        until: "train", "compress" or "all".

    Returns:
        The figures, and where bundle and report lie.

    Raises:
        PenjingError: Of the kind that fits.
    """
    limits = Budget.parse(dict(domain.value.budget)).merged(Budget.parse(budget))
    chosen, chosen_by = choose_recipe(host, domain, recipe, limits)
    chosen = chosen.with_overrides(overrides)
    from penjing.compression.plan import plan_steps, reference_training

    plan_steps(chosen, host, host.resolve)  # a mistyped recipe fails before data and TensorFlow are touched
    reference_training(chosen)
    folder = RunFolder(output or runs_folder() / domain.value.name / chosen.name)
    reporter.stage("data")
    splits = load_data(host, domain, chosen, data, seed, reporter)
    for note in splits.notes:
        reporter.line(f"note: {note}")
    key = run_key(domain.value.name, seed, splits.sha256, chosen, limits)
    state = folder.open(key, resume=resume, overwrite=overwrite)
    if state == "finished":
        return finished_result(folder)
    import_tensorflow()
    from penjing.runner.job import domain_job
    from penjing.runner.run import Until, run_job

    return run_job(
        host,
        domain_job(host, domain, chosen, splits, seed),
        chosen,
        limits,
        folder=folder,
        key=key,
        seed=seed,
        chosen_by=chosen_by,
        reporter=reporter,
        until=cast(Until, until),
    )


def choose_recipe(
    host: PluginHost, domain: Contribution[Domain], given: str | None, limits: Budget
) -> tuple[Recipe, str]:
    """The recipe and who chose it.

    Raises:
        RecipeError: The name or file does not exist or is no recipe.
        PluginError: The domain's recipe file is missing from its package.
    """
    recipes = domain.value.recipes
    if given is None:
        proposed = host.default_recipe(domain.value, dict(limits.limits))
        if proposed is not None:
            recipe, source = proposed
            return recipe, str(source)
        return _domain_recipe(domain, DEFAULT), f"{domain.source.distribution}'s default"
    if given in recipes:
        return _domain_recipe(domain, given), "the caller"
    path = Path(given)
    if path.suffix == ".toml" or path.is_file():
        return Recipe.load(path), "the caller"
    raise RecipeError(
        f"'{domain.value.name}' has no recipe '{given}'",
        hint=(did_you_mean(given, recipes) or "the domain has no recipes") + " Or give a .toml file.",
    )


def _domain_recipe(domain: Contribution[Domain], name: str) -> Recipe:
    place = domain.value.recipes.get(name)
    if place is None:
        raise PluginError(f"the domain '{domain.value.name}' has no recipe '{name}'", where=str(domain.source))
    package, _, path = place.partition(":")
    try:
        text = resources.files(package).joinpath(path).read_text("utf-8")
    except (OSError, ModuleNotFoundError) as error:
        raise PluginError(
            f"the recipe '{name}' is missing from its package",
            where=f"{domain.source}, {place}",
            why=str(error),
            hint=f"reinstall {domain.source.distribution}",
        ) from error
    return Recipe.from_toml(text, source=f"{package}/{path}")


def describe_data(
    host: PluginHost,
    domain: Contribution[Domain],
    *,
    data: Path | None,
    recipe: str | None,
    seed: int,
    overrides: Sequence[str],
    reporter: Any,
) -> dict[str, Any]:
    """What is in the data, as JSON values."""
    chosen, _ = choose_recipe(host, domain, recipe, Budget({}))
    splits = load_data(host, domain, chosen.with_overrides(overrides), data, seed, reporter)
    parts = {}
    for name in ("train", "validation", "test"):
        split = getattr(splits, name)
        classes: dict[str, int] = {}
        y = np.asarray(split.y)
        if splits.labels and y.ndim == 1:
            counts = np.bincount(y.astype(int), minlength=len(splits.labels))
            classes = {label: int(count) for label, count in zip(splits.labels, counts, strict=False)}
        groups = None if split.groups is None else len(set(map(str, split.groups)))
        parts[name] = {"examples": len(split), "groups": groups, "classes": classes}
    x = splits.train.x
    return {
        "domain": domain.value.name,
        "source": splits.source,
        "sha256": splits.sha256,
        "synthetic": splits.synthetic,
        "parts": parts,
        "input_meaning": splits.input_meaning,
        "input_shape": list(np.asarray(x).shape[1:]) if not isinstance(x, dict) else None,
        "notes": list(splits.notes),
    }


def load_data(
    host: PluginHost,
    domain: Contribution[Domain],
    recipe: Recipe,
    path: Path | None,
    seed: int,
    reporter: Any,
) -> Splits:
    from penjing.runner.job import load_splits

    shown: dict[str, Any] = {}

    def progress(what: str, done: int, total: int) -> None:
        if "task" not in shown:
            shown["manager"] = reporter.task(what, total)
            shown["task"] = shown["manager"].__enter__()
        task = shown["task"]
        task.total = total
        task.advance(done - task.done)

    try:
        return load_splits(host, domain, recipe, path, seed, progress)
    finally:
        if "manager" in shown:
            shown["manager"].__exit__(None, None, None)
