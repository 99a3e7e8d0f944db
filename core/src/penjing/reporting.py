"""Where progress goes: to a person's terminal, to a log, or nowhere. All go to stderr; stdout is for results."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any


class SilentReporter:
    """Says nothing."""

    def stage(self, title: str) -> None:
        """A new stage begins."""

    def line(self, text: str) -> None:
        """A line of text."""

    def task(self, description: str, total: int | None = None) -> Any:
        """A context manager whose value has `advance(n, note="")`."""
        return _Task(self, description, total)

    def finished(self, task: _Task) -> None:
        """A task ended."""

    def advanced(self, task: _Task, note: str) -> None:
        """A task went on."""


class _Task:
    def __init__(self, reporter: SilentReporter, description: str, total: int | None) -> None:
        self.reporter = reporter
        self.description = description
        self.total = total
        self.done = 0
        self.began = time.monotonic()
        self.skipped = 0
        self.last_note = ""

    def __enter__(self) -> _Task:
        return self

    def advance(self, n: int = 1, note: str = "") -> None:
        if note == "resumed":
            self.skipped += n
        self.done += n
        self.last_note = note
        self.reporter.advanced(self, note)

    def seconds_left(self) -> float | None:
        """By the speed so far; None before the first piece is done."""
        worked = self.done - self.skipped
        if not self.total or worked <= 0:
            return None
        return (time.monotonic() - self.began) / worked * (self.total - self.done)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.reporter.finished(self)


class LineReporter(SilentReporter):
    """Plain lines on stderr, for logs: a line per stage, and one every few seconds of long work."""

    EVERY_SECONDS = 10.0

    def __init__(self) -> None:
        self._said = 0.0

    def stage(self, title: str) -> None:
        self.line(f"== {title}")

    def line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def advanced(self, task: _Task, note: str) -> None:
        now = time.monotonic()
        if now - self._said >= self.EVERY_SECONDS or task.done == task.total:
            self._said = now
            self.line(_progress(task, note))

    def finished(self, task: _Task) -> None:
        if task.total is None or task.done < task.total:
            self.line(_progress(task, task.last_note))


class TerminalReporter(SilentReporter):
    """Bars with time left on stderr, drawn by rich."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._bar: Any = None
        self._number: Any = None

    def stage(self, title: str) -> None:
        self._console.rule(title, align="left")

    def line(self, text: str) -> None:
        from rich.markup import escape

        (self._bar.console if self._bar else self._console).print(escape(text), highlight=False)

    def task(self, description: str, total: int | None = None) -> Any:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
        )
        self._bar.start()
        self._number = self._bar.add_task(description, total=total, note="")
        return super().task(description, total)

    def advanced(self, task: _Task, note: str) -> None:
        if self._bar is not None:
            self._bar.update(self._number, completed=task.done, total=task.total, note=note)

    def finished(self, task: _Task) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _progress(task: _Task, note: str) -> str:
    text = f"{task.description}: {task.done}"
    if task.total:
        text += f" of {task.total}"
    left = task.seconds_left()
    if left is not None and task.done != task.total:
        text += f", {left:,.0f} s left"
    return f"{text}  {note}".rstrip()
