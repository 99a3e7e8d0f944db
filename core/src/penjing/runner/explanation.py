"""What a recipe would do to a model, layer by layer, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penjing.contract import LayerChange
from penjing.heavy import import_tensorflow
from penjing.host import PluginHost
from penjing.recipe import Recipe
from penjing.verify.limits import Budget


def explain_recipe(
    host: PluginHost,
    model: str,
    *,
    recipe: str | None,
    data: Path | None,
    seed: int,
    reporter: Any,
) -> list[dict[str, Any]]:
    """Every step with what it says of each layer.

    Args:
        model: A model file, or the name of a domain: its small model is built on its data, untrained.
        recipe: A file, or a recipe of the domain.

    Raises:
        PenjingError: The model, the domain or the recipe is unknown or cannot be handled.
    """
    from penjing.compression.plan import plan_steps
    from penjing.runner.api import DEFAULT_RECIPE
    from penjing.runner.domain_run import choose_recipe, load_data

    path = Path(model)
    if path.suffix in (".keras", ".h5", ".hdf5") or path.exists():
        chosen = Recipe.load(Path(recipe)) if recipe else Recipe.from_toml(DEFAULT_RECIPE)
        steps = plan_steps(chosen, host, host.resolve)
        import_tensorflow()
        from penjing.runner.model_files import open_model

        network = open_model(path)
    else:
        domain = host.domain(model)
        chosen, _ = choose_recipe(host, domain, recipe, Budget({}))
        steps = plan_steps(chosen, host, host.resolve)
        splits = load_data(host, domain, chosen, data, seed, reporter)
        import_tensorflow()
        from penjing.runner.job import domain_job

        network = domain_job(host, domain, chosen, splits, seed).build_model()
    explained = []
    for step in steps:
        if step.technique.explain is None:
            changes = [LayerChange(layer="", change="the technique does not explain itself")]
        else:
            changes = host.resolve(step.technique.explain, step.source)(network, step.settings)
        explained.append(
            {
                "number": step.number,
                "technique": step.technique.name,
                "plugin": str(step.source),
                "layers": [vars(change) for change in changes],
            }
        )
    return explained
