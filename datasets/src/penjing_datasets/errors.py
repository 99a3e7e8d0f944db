"""Errors of reading data. They carry the same four parts as penjing's own, so that a plugin can pass them on."""

from __future__ import annotations


class DatasetError(Exception):
    """Data that cannot be read, fetched or split: what failed, where, why, and what to do."""

    def __init__(self, what: str, *, where: str | None = None, why: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint
        parts = [what, where and f"where: {where}", why and f"why: {why}", hint and f"try: {hint}"]
        super().__init__("; ".join(part for part in parts if part))
