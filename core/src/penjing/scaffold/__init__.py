"""New plugins from templates: a package that passes the conformance kit as it is written."""

from __future__ import annotations

from penjing.scaffold.generation import KINDS, NewPlugin, new_plugin

__all__ = ["KINDS", "NewPlugin", "new_plugin"]
