"""Broken on purpose: raises while it is imported."""

raise RuntimeError("no such sensor")
