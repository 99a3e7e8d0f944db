"""What a run works on: a domain with its data, or a lone model with arrays. The runner sees no difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from penjing.compression.augmentation import Augmentation, table_key
from penjing.contract import (
    DataRequest,
    Domain,
    FittedBaseline,
    Metric,
    ModelRequest,
    Splits,
    Task,
)
from penjing.errors import PluginError, as_plugin_error
from penjing.host import Contribution, PluginHost
from penjing.recipe import Recipe
from penjing.runner.code_hash import code_hash


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a run needs, resolved to callables."""

    name: str
    """The domain's name, or 'model'."""
    title: str
    task: Task
    splits: Splits
    metrics: tuple[Metric, ...]
    metric_functions: Mapping[str, Callable[..., Any]]
    build_model: Callable[[], Any]
    trains_reference: bool = True
    """False where the model comes trained."""
    build_teacher: Callable[[], Any] | None = None
    teacher_key: str = ""
    baselines: tuple[Callable[[], FittedBaseline], ...] = ()
    augment: Augmentation | None = None
    loss: Callable[[Any, Any], Any] | None = None
    decision_threshold: float = 0.5
    plugin: str = ""
    """Distribution and version of the domain, for the lineage."""
    intended_use: str = ""
    data_license: str = ""
    slices: tuple[str, ...] = ()
    extra_parts: tuple[str, ...] = field(default=())
    """What else the reference depends on, for its fingerprint."""

    @property
    def primary(self) -> Metric:
        return next(metric for metric in self.metrics if metric.primary)


def load_splits(
    host: PluginHost,
    domain: Contribution[Domain],
    recipe: Recipe,
    path: Path | None,
    seed: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> Splits:
    """Let a domain load its data.

    Raises:
        PluginError: The loader failed in a way of its own, or returned something else than `Splits`.
        DataError: As the loader raises it.
    """
    load = host.resolve(domain.value.load_data, domain.source)
    request = DataRequest(path=path, seed=seed, options=dict(recipe.data), progress=progress)
    with as_plugin_error("the data could not be loaded", f"{domain.source}, {domain.value.load_data}"):
        splits = load(request)
    if not isinstance(splits, Splits):
        raise PluginError(
            f"load_data returned {type(splits).__name__} instead of Splits",
            where=f"{domain.source}, {domain.value.load_data}",
        )
    return splits


def domain_job(host: PluginHost, domain: Contribution[Domain], recipe: Recipe, splits: Splits, seed: int) -> Job:
    """The job of a domain.

    Raises:
        PluginError: Something that the domain names cannot be imported, or it has not exactly one primary metric.
    """
    import keras  # the caller has told the user that this takes a while

    value, source = domain.value, domain.source
    resolve = partial(host.resolve, source=source)

    def code_of(import_string: str, kind: type) -> Callable[..., Any]:
        return _guarded(resolve(import_string), f"{source}, {import_string}", kind)

    primaries = [metric.name for metric in value.metrics if metric.primary]
    if len(primaries) != 1:
        raise PluginError(
            f"the domain '{value.name}' has {len(primaries)} primary metrics",
            where=str(source),
            hint="mark exactly one Metric with primary=True, of kind 'examples'",
        )

    def request(options: Mapping[str, Any]) -> ModelRequest:
        return ModelRequest(splits=splits, seed=seed, options=dict(options))

    trains_with = (value.load_data, value.augment, value.loss)
    code = code_hash([value.build_teacher, *trains_with])
    augment = None
    if value.augment:
        augment_function = code_of(value.augment, tuple)

        def draw(epoch: int, epoch_seed: int, options: Mapping[str, Any]) -> tuple[Any, Any]:
            return augment_function(splits.train, splits, epoch=epoch, seed=epoch_seed, options=dict(options))

        augment = Augmentation(draw=draw, options=recipe.augment, name=f"{source}/{value.augment}", code=code)

    build_model = code_of(value.build_model, keras.Model)
    build_teacher = code_of(value.build_teacher, keras.Model) if value.build_teacher else None
    reference_code = code_hash([value.build_model, *trains_with])
    return Job(
        name=value.name,
        title=value.summary,
        task=splits.task or value.task,
        splits=splits,
        metrics=value.metrics,
        metric_functions={metric.name: resolve(metric.function) for metric in value.metrics},
        build_model=lambda: build_model(request(recipe.model)),
        build_teacher=(lambda: build_teacher(request(recipe.teacher))) if build_teacher else None,
        teacher_key=f"{source}/{value.build_teacher}/{table_key(recipe.teacher)}/{table_key(recipe.data)}/{code}",
        baselines=tuple(partial(code_of(baseline, FittedBaseline), splits, seed) for baseline in value.baselines),
        augment=augment,
        loss=resolve(value.loss) if value.loss else None,
        decision_threshold=value.decision_threshold,
        plugin=f"{source.distribution} {source.version}",
        intended_use=value.intended_use,
        data_license=value.data_license,
        slices=tuple(dict.fromkeys((*value.slices, *splits.slices))),
        extra_parts=(
            str(source),
            table_key(recipe.data),
            table_key(recipe.model),
            table_key(recipe.augment),
            reference_code,
        ),
    )


def _guarded(function: Callable[..., Any], where: str, kind: type) -> Callable[..., Any]:
    """The function of a domain; where it fails or gives something else, its plugin is named."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        with as_plugin_error(f"'{where.rpartition(':')[2]}' failed", where):
            given = function(*arguments, **keywords)
        if not isinstance(given, kind):
            raise PluginError(
                f"'{where.rpartition(':')[2]}' gave a {type(given).__name__} instead of {kind.__name__}", where=where
            )
        return given

    return call
