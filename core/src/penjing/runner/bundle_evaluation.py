"""A finished bundle on other data: with its own preprocessing, its own order of classes and its own thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from penjing.contract import Domain, Split, Splits
from penjing.errors import DataError
from penjing.host import Contribution, PluginHost
from penjing.recipe import Recipe
from penjing.runner.document import data_entry, interval_entry
from penjing.runner.domain_run import choose_recipe, load_data
from penjing.runner.evaluation import score
from penjing.runtime import load_bundle
from penjing.verify.limits import Budget

_CLASSES = ("binary", "classification", "ordinal")


def evaluate_bundle(
    host: PluginHost,
    domain: Contribution[Domain],
    bundle: Path,
    *,
    data: Path | None,
    recipe: str | None,
    seed: int,
    overrides: Sequence[str],
    reporter: Any,
) -> dict[str, Any]:
    """Every metric of a finished bundle on the test part of given data, as JSON values.

    Nothing is fitted to the data: inputs are made by the bundle's own parameters, classes that stand in another order
    are brought into the bundle's, and metrics find the figures that the bundle states, thresholds among them, in
    `Splits.extra["measured"]`.

    Raises:
        BundleError: The bundle cannot be read.
        DataError: The data's task or classes are not those of the bundle.
    """
    loaded = load_bundle(bundle)
    chosen = (
        choose_recipe(host, domain, recipe, Budget({}))[0]
        if recipe
        else Recipe.from_toml(loaded.manifest.recipe, source=f"{bundle}/bundle.json")
    )
    splits = load_data(host, domain, chosen.with_overrides(overrides), data, seed, reporter)
    entry = data_entry(
        splits.source,
        splits.sha256,
        splits.synthetic,
        {"train": splits.train, "validation": splits.validation, "test": splits.test},
        splits.notes,
    )
    task = splits.task or domain.value.task
    if task != loaded.manifest.task:
        raise DataError(
            f"the data's task is {task}, the bundle's {loaded.manifest.task}",
            where=splits.source,
            hint="the [data] table says how targets are read; --set data.task=... where the domain has it",
        )
    splits = in_order_of(splits, loaded.labels, task)
    if domain.value.preprocess:
        preprocess = host.resolve(domain.value.preprocess, domain.source)

        def prepared(part: Split) -> Split:
            return part if part.raw is None else replace(part, x=preprocess(part.raw, loaded.preprocessing))

        # The training part stays as it is: no figure of a finished bundle rests on it.
        splits = replace(splits, test=prepared(splits.test), validation=prepared(splits.validation))
    measured = {name: stated.estimate for name, stated in loaded.manifest.metrics.items()}
    splits = replace(
        splits,
        preprocessing=loaded.preprocessing or splits.preprocessing,
        extra={**splits.extra, "measured": measured},
    )
    scores = score(
        domain.value.metrics,
        {metric.name: host.resolve(metric.function, domain.source) for metric in domain.value.metrics},
        splits.test,
        splits,
        cast(Callable[[Any], np.ndarray], loaded.predict),
        seed=seed,
    )
    return {
        "bundle": str(bundle),
        "data": entry,
        "metrics": dict(scores.metrics),
        "intervals": {name: interval_entry(value) for name, value in scores.intervals.items()},
    }


def in_order_of(splits: Splits, labels: tuple[str, ...], task: str) -> Splits:
    """Targets by the numbers that the classes have in a bundle.

    Args:
        labels: The bundle's, in the order of its outputs.

    Raises:
        DataError: The data has a class that the bundle does not know; or of outputs that do not exclude each other,
            one is missing.
    """
    own = tuple(splits.labels)
    if own == labels:
        return splits
    unknown = [label for label in own if label not in labels]
    # A class that does not occur is no harm; a label nobody looked for cannot be judged.
    enough = task in _CLASSES or (task == "multilabel" and len(own) == len(labels))
    if unknown or not own or not enough:
        raise DataError(
            "the data's classes are not those of the bundle",
            where=splits.source,
            why=f"data: {', '.join(own)}; bundle: {', '.join(labels)}",
            hint="name the data's classes as the bundle does",
        )
    places = np.array([labels.index(label) for label in own])

    def renumbered(part: Split) -> Split:
        y = np.asarray(part.y)
        if task != "multilabel":
            return replace(part, y=places[y.astype(np.int64)])
        moved = np.empty_like(y)
        moved[:, places] = y
        return replace(part, y=moved)

    return replace(
        splits,
        labels=labels,
        train=renumbered(splits.train),
        validation=renumbered(splits.validation),
        test=renumbered(splits.test),
    )
