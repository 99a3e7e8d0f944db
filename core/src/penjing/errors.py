"""Every error that penjing raises on purpose: what failed, where, why, and what to do.

A user's mistake is shown as the text of one of these, never as a traceback. The exit code of the command line follows
from the kind: 2 for usage and input, 1 for a limit or check that failed.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Self


class PenjingError(Exception):
    """The base of all errors that penjing raises on purpose.

    Args:
        what: What failed, one sentence without a full stop.
        where: The place: a file and line, a row, a layer, a plugin with its version.
        why: The reason, as far as it is known.
        hint: What to do next.
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.why:
            lines.append(f"  why:   {self.why}")
        if self.hint:
            lines.append(f"  try:   {self.hint}")
        return "\n".join(lines)

    def within(self, place: str) -> Self:
        """The same error, its place within another one: a step's, a file's."""
        where = place if self.where is None else f"{place}, {self.where}"
        return type(self)(self.what, where=where, why=self.why, hint=self.hint)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are lost by the default pickling, which worker processes rely on.
        return (_rebuild, (type(self), self.what, self.where, self.why, self.hint))


def _rebuild(kind: type[PenjingError], what: str, where: str | None, why: str | None, hint: str | None) -> PenjingError:
    return kind(what, where=where, why=why, hint=hint)


class UsageError(PenjingError):
    """The command or call itself does not fit: an unknown name, a missing or contradictory option."""


class RecipeError(PenjingError):
    """A recipe names an unknown technique or setting, or a value out of range. `where` is file and line."""


class DataError(PenjingError):
    """The data cannot be read or used. `where` names the file, and the row or column if there is one."""


class ModelError(PenjingError):
    """The model cannot be handled. `where` names the layer."""


class BudgetError(PenjingError):
    """A budget cannot be parsed, or no recipe can meet it."""


class BundleError(PenjingError):
    """A bundle is damaged, unsafe, or of an unknown schema version."""


class PluginError(PenjingError):
    """A plugin failed. `where` names distribution, version, entry point and stage."""


class MissingExtraError(PenjingError):
    """An optional package is needed and not installed. `hint` is the command that installs it."""


class RunFolderError(PenjingError):
    """The run folder cannot be used: not empty, of another run, or not writable."""


class CheckFailedError(PenjingError):
    """A limit or check does not hold: an invariant, a budget line, the conformance of a file."""

    exit_code = 1


@contextlib.contextmanager
def as_plugin_error(what: str, where: str) -> Iterator[None]:
    """Around a call of a plugin's code: what it raises, or ends the process with, names the plugin. Errors that are
    penjing's own go through, since they say what is wrong.

    Args:
        what: "the technique 'x' failed".
        where: The plugin with its version.

    Raises:
        PluginError: Instead of anything else.
    """
    try:
        yield
    except PenjingError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            what,
            where=where,
            why=reason_of(error),
            hint="run with --debug for the traceback; tell the plugin's author",
        ) from error


def reason_of(error: BaseException) -> str:
    """Kind and text of an error; also of one whose text cannot be had."""
    kind = type(error).__name__
    try:
        text = plain_text(str(error))
    except Exception:
        return kind
    return f"{kind}: {text}" if text else kind


def plain_text(message: str) -> str:
    """An error's message without what Keras and TensorFlow wrap around it: colours, the configuration of every layer on
    the way down, the arguments of the call, the stack in which a graph's operation was made."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", message)
    text = text.rsplit("Exception encountered: ", 1)[-1]
    text = re.sub(r"Exception encountered when calling [^\n]*\n+", "", text)
    for end in ("\n\nArguments received by ", " Full object config: "):
        text = text.split(end, 1)[0]
    if text.startswith("Graph execution error:"):
        text = re.split(r"\n\s*\[\[\{\{node ", text, maxsplit=1)[0].strip().rpartition("\n")[2]
    return text.strip()


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """The sentence that offers the nearest of the candidates, or lists them when none is near.

    Returns:
        "did you mean 'x'?", "choose one of: a, b", or None when there are no candidates.
    """
    names = sorted(set(candidates))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    if names:
        return "choose one of: " + ", ".join(names)
    return None
