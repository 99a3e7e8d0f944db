"""A layer once more, by its configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def layer_again(layer: Any, change: Callable[[dict[str, Any]], None] | None = None) -> Any:
    """A layer or operation with the same name and configuration, not built yet.

    Lambda layers are used again as they are: code cannot always be written into a configuration, and there are no
    weights to take along.

    Args:
        change: Edits the configuration in place.
    """
    if isinstance(layer, keras.layers.Lambda):
        return layer
    config = layer.get_config()
    if change is not None:
        change(config)
    return type(layer).from_config(config)
