"""penjing makes small AI models that people can trust.

The public verbs are imported when first used, so that `import penjing` stays light:

- `compress(model, recipe=..., data=..., metric=..., budget=..., output=...)`: from a model to a verified small file;
- `compare_runs([folder, folder])`: finished runs beside each other, as a table in a notebook;
- `load_bundle(folder)`: run a finished bundle with LiteRT alone, without TensorFlow;
- `load_model(path)`: a Keras model out of a run folder, with penjing's own layers known;
- `write_c_array(bundle, folder)`: a bundle as C++ source for microcontrollers, for exporters that add to it;
- `Recipe`: an ordered list of steps, read from TOML;
- `hookimpl`: marks a plugin's hook implementations.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penjing.compression.checkpoint import load_model
    from penjing.export.c_array import write_c_array
    from penjing.hookspecs import hookimpl
    from penjing.recipe import Recipe
    from penjing.runner.api import compress
    from penjing.runner.comparison import compare_runs
    from penjing.runtime import load_bundle

__version__ = "0.1.0"

_HOMES = {
    "compress": "penjing.runner.api",
    "compare_runs": "penjing.runner.comparison",
    "hookimpl": "penjing.hookspecs",
    "load_bundle": "penjing.runtime",
    "load_model": "penjing.compression.checkpoint",
    "Recipe": "penjing.recipe",
    "write_c_array": "penjing.export.c_array",
}

__all__ = [
    "Recipe",
    "__version__",
    "compare_runs",
    "compress",
    "hookimpl",
    "load_bundle",
    "load_model",
    "write_c_array",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'penjing' has no attribute '{name}'")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
