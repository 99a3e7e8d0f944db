"""A technique under test, on the kit's toy task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penjing.contract import Metric, Technique
from penjing.errors import RecipeError
from penjing.host import Contribution, PluginHost
from penjing.recipe import Recipe, Step
from penjing.reporting import SilentReporter
from penjing.testing.contribution_subject import ContributionUnderTest
from penjing.testing.toy_task import toy_model, toy_splits

if TYPE_CHECKING:
    from penjing.compression.pipeline import PipelineResult
    from penjing.compression.plan import PlannedStep
    from penjing.compression.workbench import Workbench

EPOCHS = 1
"""Of every training in a step, where the caller's settings do not say otherwise."""


class TechniqueUnderTest(ContributionUnderTest[Technique]):
    """A technique for `check_technique` and `parametrize_with_checks`.

    Args:
        technique: The name of an installed technique.
        settings: Settings that make sense on a small network; None takes the defaults, with one epoch where the
            technique trains.
        host: The plugins; None takes those that are installed.
    """

    kind = "technique"

    def __init__(
        self, technique: str, *, settings: Mapping[str, Any] | None = None, host: PluginHost | None = None
    ) -> None:
        super().__init__(technique, host)
        self._settings = settings

    def find(self) -> Contribution[Technique]:
        return self.host.technique(self.name)

    @property
    def technique(self) -> Technique:
        return self.contribution.value

    @property
    def settings_model(self) -> Any:
        return self.resolve(self.technique.settings)

    @property
    def settings(self) -> Any:
        """The settings of this check, valid."""
        return self.plan(self.name)[0].settings

    def plan(self, *names: str) -> tuple[PlannedStep, ...]:
        """Steps of these techniques, with short settings.

        Raises:
            RecipeError: They may not stand in this order.
        """
        from penjing.compression.plan import plan_steps

        steps = []
        for name in names:
            contribution = self.contribution if name == self.name else self.host.technique(name)
            given = self._settings if name == self.name else None
            model = self.host.resolve(contribution.value.settings, contribution.source)
            steps.append(Step(technique=name, settings=given if given is not None else short_settings(model)))
        return plan_steps(Recipe(name="check", steps=tuple(steps)), self.host, self.host.resolve)

    def successors(self) -> Iterator[str]:
        """Techniques that may follow this one."""
        yield from (name for name in self.host.techniques if self._is_legal(self.name, name))

    def predecessors(self) -> Iterator[str]:
        """Techniques with promises that may stand before this one."""
        for name, contribution in self.host.techniques.items():
            if contribution.value.invariants and self._is_legal(name, self.name):
                yield name

    def _is_legal(self, *names: str) -> bool:
        try:
            self.plan(*names)
        except RecipeError:
            return False
        return True

    # ---------------------------------------------------------------------------------------------- the toy run

    @property
    def bench(self) -> Workbench:
        return self._kept.get("the workbench", self._make_bench)

    def _make_bench(self) -> Workbench:
        from penjing.compression.determinism import fix_thread_order
        from penjing.compression.workbench import Workbench
        from penjing.heavy import import_tensorflow
        from penjing.metrics import FUNCTIONS

        import_tensorflow()
        fix_thread_order()
        splits = toy_splits()
        return Workbench(
            task="classification",
            metric=Metric(name="accuracy", function="penjing.metrics:accuracy", direction="higher", primary=True),
            metric_function=FUNCTIONS["accuracy"],
            train=splits.train,
            validation=splits.validation,
            labels=splits.labels,
            extra={},
            seed=0,
            data_sha256=splits.sha256,
            reporter=SilentReporter(),
            build_teacher=lambda: toy_model(width=20),
            teacher_key="toy",
            teacher_cache=self.folder / "teachers",
        )

    @property
    def reference(self) -> Any:
        """A trained network, from the disk: another object each time."""
        from penjing.compression import checkpoint

        return checkpoint.load_model(self._kept.get("the reference", self._train))

    def _train(self) -> Path:
        from penjing.compression import checkpoint
        from penjing.compression.determinism import seed_everything
        from penjing.compression.settings.training import TrainingSettings

        bench = self.bench
        seed = seed_everything(0, "reference")
        model = toy_model()
        settings = TrainingSettings(epochs=4, batch_size=32, learning_rate=3e-3)
        bench.trainer(seed, self.folder / "training", "reference").fit(model, settings, label="toy")
        path = self.folder / "reference.keras"
        checkpoint.save_model(model, path)
        return path

    @property
    def reference_file(self) -> bytes:
        """The reference as a float32 file."""
        from penjing.compression import pipeline
        from penjing.contract import ExportSettings

        return self._kept.get(
            "the reference's file", lambda: pipeline.export(self.reference, ExportSettings(), self.bench)
        )

    @property
    def result(self) -> PipelineResult:
        """What the technique alone makes of the reference."""
        return self._kept.get("the step", lambda: self.apply(self.name))

    def apply(self, *names: str, folder: str = "steps") -> PipelineResult:
        """Run steps on the reference; the pipeline checks every promise, on model and file, after each of them."""
        from penjing.compression import pipeline

        reference = self.reference
        return pipeline.run_steps(
            reference,
            self.plan(*names),
            self.bench,
            folder=self.folder / folder,
            reference_path=self.folder / "reference.keras",
            start="toy",
            reference_bytes=len(self.reference_file),
            resolve=self.host.resolve,
            observer=_Nobody(),
        )

    def promises(self) -> list[Any]:
        """The technique's promises about `result`, as they come back from the disk."""
        import json

        from penjing.compression import checkpoint

        self.result  # noqa: B018  (writes them)
        place = self.folder / "steps" / f"01-{self.name}"
        outcome = json.loads((place / "outcome.json").read_text(encoding="utf-8"))
        return [
            self.resolve(entry["kind"]).from_state(checkpoint.read_arrays(place / entry["file"]))
            for entry in outcome["promises"]
        ]


class _Nobody:
    def before_step(self, step: Any) -> None:
        """Nobody is told."""

    def after_step(self, step: Any, outcome: Any) -> None:
        """Nobody is told."""


def short_settings(model: Any) -> dict[str, Any]:
    """The defaults of a settings model, with few epochs in it and in the settings inside it."""
    settings: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if name == "epochs":
            settings[name] = EPOCHS
        elif hasattr(field.annotation, "model_fields"):
            inner = short_settings(field.annotation)
            if inner:
                settings[name] = inner
    return settings
