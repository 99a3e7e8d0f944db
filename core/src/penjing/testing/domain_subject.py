"""A domain under test: its data, its model and one short seeded run, each made once and shared by the checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penjing.contract import DataRequest, Domain, ModelRequest, Splits
from penjing.hookspecs import hookimpl
from penjing.host import Contribution, PluginHost
from penjing.reporting import SilentReporter
from penjing.testing.contribution_subject import ContributionUnderTest
from penjing.testing.network import no_network

if TYPE_CHECKING:
    from penjing.recipe import Recipe
    from penjing.runner.job import Job
    from penjing.runner.result import RunResult
    from penjing.runtime import LoadedBundle

QUICK = "quick"
"""The recipe that the kit runs where a domain has one of this name: the same path in less time."""


class DomainUnderTest(ContributionUnderTest[Domain]):
    """A domain for `check_domain` and `parametrize_with_checks`.

    Args:
        domain: The name of an installed domain, or a `Domain`.
        recipe: A recipe of the domain; None takes the one called 'quick', or else the default.
        overrides: Changes of the recipe that make it quicker: "reference.epochs=2", "data.voices=12".
        data: Data of your own in place of the built-in sample.
        seed: Of the run.
        perfect_outputs: `f(targets, outputs) -> perfect outputs`, where the kit cannot tell from their shapes what a
            perfect answer is.
        host: The plugins; None takes those that are installed.
    """

    kind = "domain"

    def __init__(
        self,
        domain: str | Domain,
        *,
        recipe: str | None = None,
        overrides: Sequence[str] = (),
        data: str | Path | None = None,
        seed: int = 0,
        perfect_outputs: Callable[[Any, Any], Any] | None = None,
        host: PluginHost | None = None,
    ) -> None:
        super().__init__(domain if isinstance(domain, str) else domain.name, host)
        self._given = domain
        self._recipe = recipe
        self.overrides = tuple(overrides)
        self.data = None if data is None else Path(data)
        self.seed = seed
        self.perfect_outputs = perfect_outputs

    # --------------------------------------------------------------------------------------------- declaration

    def _find_plugins(self) -> PluginHost:
        if isinstance(self._given, str):
            return super()._find_plugins()
        return PluginHost.from_modules({self.name: _Declaring(self._given)})

    def find(self) -> Contribution[Domain]:
        return self.host.domain(self.name)

    @property
    def domain(self) -> Domain:
        return self.contribution.value

    @property
    def recipe(self) -> Recipe:
        """What the short run follows."""
        return self._kept.get("the recipe", self._choose)

    @property
    def recipe_name(self) -> str | None:
        """The recipe's name among those of the domain; None where the plugins decide."""
        return self._recipe or (QUICK if QUICK in self.domain.recipes else None)

    def _choose(self) -> Recipe:
        from penjing.runner.domain_run import choose_recipe
        from penjing.verify.limits import Budget

        budget = Budget.parse(dict(self.domain.budget))
        chosen, _ = choose_recipe(self.host, self.contribution, self.recipe_name, budget)
        return chosen.with_overrides(self.overrides)

    # ---------------------------------------------------------------------------------------------------- data

    def load(self, seed: int | None = None, **options: Any) -> Splits:
        """The data, loaded anew."""
        load_data = self.resolve(self.domain.load_data)
        request = DataRequest(
            path=self.data,
            seed=self.seed if seed is None else seed,
            options={**dict(self.recipe.data), **options},
        )
        splits: Splits = load_data(request)
        return splits

    @property
    def loaded(self) -> LoadedSample:
        """The data as it was first loaded, with what was seen of that."""
        return self._kept.get("the sample", lambda: LoadedSample(self))

    @property
    def splits(self) -> Splits:
        return self.loaded.splits

    # --------------------------------------------------------------------------------------------------- model

    @property
    def job(self) -> Job:
        """What a run would work on."""
        return self._kept.get("the domain's functions", self._make_job)

    def _make_job(self) -> Job:
        from penjing.heavy import import_tensorflow
        from penjing.runner.job import domain_job

        import_tensorflow()
        return domain_job(self.host, self.contribution, self.recipe, self.splits, self.seed)

    @property
    def model(self) -> Any:
        """The small model, untrained. Not to be changed."""
        return self._kept.get("the model", lambda: self.build(self.domain.build_model, self.recipe.model))

    def build(self, import_string: str, options: Any, splits: Splits | None = None) -> Any:
        """A model of the domain, built anew."""
        from penjing.compression.determinism import seed_everything
        from penjing.heavy import import_tensorflow

        import_tensorflow()
        seed_everything(self.seed, "reference")
        request = ModelRequest(splits=splits or self.splits, seed=self.seed, options=dict(options))
        return self.resolve(import_string)(request)

    # ----------------------------------------------------------------------------------------------------- run

    @property
    def run(self) -> RunResult:
        """The short run, from the data to the verified bundle."""
        return self._kept.get("the short run", lambda: self._run("run", "all"))

    @property
    def second_run(self) -> Path:
        """The folder of a second run with the same seed, up to the trained reference."""
        self.run  # noqa: B018  (the first comes first)
        return self._kept.get("the second run", lambda: self._run("again", "train").folder)

    def _run(self, name: str, until: str) -> RunResult:
        from penjing.runner.domain_run import run_domain

        return run_domain(
            self.host,
            self.contribution,
            data=self.data,
            recipe=self.recipe_name,
            overrides=self.overrides,
            output=self.folder / name,
            seed=self.seed,
            reporter=SilentReporter(),
            until=until,
        )

    @property
    def bundle(self) -> LoadedBundle:
        """What the short run has made."""
        return self._kept.get("the bundle", self._load_bundle)

    def _load_bundle(self) -> LoadedBundle:
        from penjing.runtime import load_bundle

        assert self.run.bundle is not None
        return load_bundle(self.run.bundle)


class LoadedSample:
    """The data of a domain, and what was seen while it was loaded."""

    def __init__(self, subject: DomainUnderTest) -> None:
        began = time.process_time()
        with no_network() as self.network_attempts:
            self.splits = subject.load()
        self.cpu_seconds = time.process_time() - began


class _Declaring:
    """A plugin that contributes one domain."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    @hookimpl
    def penjing_domains(self) -> tuple[Domain, ...]:
        return (self._domain,)
