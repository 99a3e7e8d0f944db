"""What a recipe would do to a model, layer by layer, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penjing.contract import ExportSettings
from penjing.heavy import import_tensorflow
from penjing.host import PluginHost
from penjing.html_table import html_table
from penjing.runner.shipped_recipes import open_recipe
from penjing.verify.limits import Budget

if TYPE_CHECKING:
    from penjing.compression.plan import PlannedStep


class Explanation(dict[str, Any]):
    """What `explain_recipe` gives: JSON values under 'steps', 'before' and 'expected'. A notebook shows tables."""

    def _repr_html_(self) -> str:
        tables = [
            html_table(
                f"step {step['number']}: {step['technique']}",
                ("layer", "what would happen"),
                [(row["layer"], row["change"]) for row in step["layers"]],
                step["notes"],
            )
            for step in self["steps"]
        ]
        before, expected = self["before"], self["expected"]
        rows = [
            ("flash", f"{before['flash_bytes']:,} B", f"{expected['flash_bytes']:,} B"),
            ("MACs", f"{before['macs']:,}", f"{expected['macs']:,}"),
        ]
        return "".join([*tables, html_table("expected", ("", "before", f"after ({expected['mode']})"), rows)])


def explain_recipe(
    host: PluginHost,
    model: str,
    *,
    recipe: str | None,
    data: Path | None,
    seed: int,
    reporter: Any,
) -> Explanation:
    """Every step with what it says of each layer, what conflicts, and what the result is expected to cost.

    Each step is asked about the model that the steps before it leave: with the channels that `prune-channels` keeps,
    say. Nothing is trained.

    Args:
        model: A model file, or the name of a domain: its small model is built on its data, untrained.
        recipe: A file, or a recipe of the domain.

    Raises:
        PenjingError: The model, the domain or the recipe is unknown or cannot be handled.
    """
    from penjing.compression.plan import plan_steps
    from penjing.runner.domain_run import choose_recipe, load_data

    path = Path(model)
    if path.suffix in (".keras", ".h5", ".hdf5") or path.exists():
        chosen = open_recipe(recipe)
        steps = plan_steps(chosen, host, host.resolve)
        import_tensorflow()
        from penjing.runner.model_files import open_model
        from penjing.runner.precision import in_float32

        network = in_float32(open_model(path))[0]
    else:
        domain = host.domain(model)
        chosen, _ = choose_recipe(host, domain, recipe, Budget({}))
        steps = plan_steps(chosen, host, host.resolve)
        splits = load_data(host, domain, chosen, data, seed, reporter)
        import_tensorflow()
        from penjing.runner.job import domain_job

        network = domain_job(host, domain, chosen, splits, seed).build_model()
    from penjing.compression.technique_calls import explained, previewed

    settings = ExportSettings()
    before = _costs(network, settings)
    tables = []
    for index, step in enumerate(steps):
        changes = explained(step, network, host.resolve)
        tables.append(
            {
                "number": step.number,
                "technique": step.technique.name,
                "plugin": str(step.source),
                "layers": [vars(change) for change in changes],
                "notes": _notes(step, steps[:index], steps[index + 1 :]),
            }
        )
        preview = previewed(step, network, host.resolve)
        if preview is not None:
            network, settings = preview.model, preview.export or settings
    return Explanation(steps=tables, before=before, expected=_costs(network, settings))


def _notes(step: PlannedStep, earlier: Sequence[PlannedStep], later: Sequence[PlannedStep]) -> list[str]:
    """How a step meets the others: whose promises it keeps, who will change what it makes."""
    notes = []
    keeping = [each.technique.name for each in earlier if each.technique.invariants]
    if keeping and step.technique.changes_structure:
        notes.append(f"what {', '.join(keeping)} promised is kept for the channels that are left")
    elif keeping:
        notes.append(f"keeps what {', '.join(keeping)} promised; checked on the model and on the file")
    if step.technique.invariants:
        for each in later:
            if each.technique.changes_structure:
                notes.append(
                    f"step {each.number}, {each.technique.name}, changes the layers afterwards: "
                    "put it first, so that nothing is decided about channels that go"
                )
    return notes


def _costs(model: Any, settings: ExportSettings) -> dict[str, Any]:
    from penjing.export.trial import file_cost

    return {**asdict(file_cost(model, settings)), "mode": settings.mode}
