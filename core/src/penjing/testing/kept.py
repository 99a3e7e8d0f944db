"""Values that several checks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from penjing.testing.checks import BlockedError

T = TypeVar("T")


class Kept:
    """Values that are made once. Who asks first gets the error of a value that cannot be made; whoever asks after
    that is told that it failed already."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._errors: dict[str, str] = {}

    def get(self, what: str, make: Callable[[], T]) -> T:
        """The value of that name.

        Raises:
            BlockedError: It could not be made before.
        """
        if what in self._errors:
            raise BlockedError(f"needs {what}, which failed: {self._errors[what]}")
        if what not in self._values:
            try:
                self._values[what] = make()
            except (Exception, SystemExit) as error:
                self._errors[what] = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise
        value: T = self._values[what]
        return value
