"""Import what a contract names as "package.module:function", when it is first needed."""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import Any

from penjing.errors import PenjingError, PluginError, reason_of
from penjing.host.source import FAILURES, PluginSource


def import_for(import_string: str, source: PluginSource) -> Any:
    """Import "package.module:attribute" on behalf of a plugin.

    Raises:
        PluginError: The string is malformed, or the import fails; names the plugin.
    """
    module_name, separator, attribute = str(import_string).partition(":")
    try:
        if not (module_name and separator and attribute):
            raise ValueError("an import string is 'package.module:function'")
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except PenjingError:
        raise  # a missing extra, say, which knows its remedy
    except FAILURES as error:
        raise PluginError(
            f"'{import_string}' cannot be imported",
            where=str(source),
            why=reason_of(error),
            hint=_next_step(error, module_name, attribute, source),
        ) from error
    return found


def _next_step(error: BaseException, module_name: str, attribute: str, source: PluginSource) -> str:
    if isinstance(error, ModuleNotFoundError):
        missing = (error.name or "").split(".")[0]
        if missing == module_name.split(".")[0]:
            return f"reinstall {source.distribution}"
        return f"pip install '{source.distribution}[compress]', or the package '{missing}'"
    module = sys.modules.get(module_name)
    if isinstance(error, AttributeError) and module is not None:
        public = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        near = difflib.get_close_matches(attribute, public, n=1)
        if near:
            return f"did you mean '{module_name}:{near[0]}'?"
    return f"pip install --upgrade {source.distribution}"
