"""The same features, one transaction at a time: what a device or a server keeps of the past month.

Counts and sums are the whole numbers of `features.point_in_time`, so both give the very same values. Every event is
appended to a journal before its features are returned; a process that is killed loses nothing that was answered.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import zipfile
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from penjing.errors import DataError
from penjing_fraud_detection.features import (
    AMOUNT_UNITS,
    DAY,
    DELAY,
    LARGEST_AMOUNT,
    WINDOWS,
    calendar,
)
from penjing_fraud_detection.journal import FRAUD, TRANSACTION, Event, Journal, recovered, write_whole

_PRUNED_FROM = 64
"""An owner's history is shortened when so many entries of it are too old to be counted."""


class _Owner:
    """Moments of one card or terminal, ascending, and the running total of what is summed."""

    __slots__ = ("times", "totals")

    def __init__(self) -> None:
        self.times = array("q")
        self.totals = array("q", [0])

    def append(self, time: int, value: int) -> None:
        self.times.append(time)
        self.totals.append(self.totals[-1] + value)

    def drop_until(self, time: int) -> None:
        """Forget what is not later than `time`, when it is worth the work."""
        old = bisect_right(self.times, time)
        if old >= _PRUNED_FROM:
            del self.times[:old]
            del self.totals[:old]


class OnlineState:
    """History of cards and terminals, as far as the windows reach back.

    Not safe for several threads or processes at once.

    Args:
        windows: Days of each window.
        delay: Days until it is known whether a transaction was fraud.
    """

    def __init__(self, *, windows: Sequence[int] = WINDOWS, delay: int = DELAY) -> None:
        self.windows = tuple(windows)
        self.delay = delay
        self._cards: dict[int, _Owner] = {}
        self._terminals: dict[int, _Owner] = {}
        self._last = -(2**63)
        self._key = secrets.token_bytes(32)
        self._folder: Path | None = None
        self._number = 0
        self._journal: Journal | None = None

    # ------------------------------------------------------------------------------------------------- scoring

    def features(self, time: int, customer: Any, terminal: Any, amount: float) -> np.ndarray:
        """Take a transaction into the history and return its features.

        Args:
            time: Milliseconds since 1970, not before the last transaction's.
            customer: Anything that names the card; only a keyed hash of it is kept.
            terminal: Anything that names the terminal, likewise.
            amount: In the currency of the training data.

        Returns:
            float64 of shape (3 + 4 * windows,), as `features.feature_names`.

        Raises:
            DataError: The transaction is earlier than the last, or the amount is not finite or too large.
        """
        if not abs(amount) <= LARGEST_AMOUNT:
            raise DataError(f"the amount {amount} is not finite or beyond {LARGEST_AMOUNT:g}", where="online state")
        time = int(time)
        if time < self._last:
            raise DataError(
                "the transaction is earlier than the last one",
                where="online state",
                why=f"{np.datetime64(time, 'ms')} after {np.datetime64(self._last, 'ms')}",
                hint="give transactions in the order of time",
            )
        event = (TRANSACTION, time, self._hashed(customer), self._hashed(terminal), round(amount * AMOUNT_UNITS))
        self._write(event)
        self._take(event)
        return self._answer(time, event[2], event[3], amount)

    def report_fraud(self, time: int, terminal: Any) -> bool:
        """Say that a transaction at a terminal turned out to be fraud. It counts once the delay has passed.

        Args:
            time: The moment of the transaction, milliseconds since 1970.

        Returns:
            False where no such transaction is in the history, or all at that moment are known to be fraud.
        """
        event = (FRAUD, int(time), 0, self._hashed(terminal), 0)
        if self._place(event[1], event[3]) is None:
            return False
        self._write(event)
        self._take(event)
        return True

    def __len__(self) -> int:
        """Transactions in the history."""
        return sum(len(owner.times) for owner in self._cards.values())

    def _answer(self, time: int, customer: int, terminal: int, amount: float) -> np.ndarray:
        moment = np.array([time])
        weekend, night = calendar(moment)
        values = [amount, float(weekend[0]), float(night[0])]
        card = self._cards[customer]
        for days in self.windows:
            first = bisect_right(card.times, time - days * DAY)
            count = len(card.times) - first
            values += [float(count), (card.totals[-1] - card.totals[first]) / AMOUNT_UNITS / count]
        owner = self._terminals[terminal]
        last = bisect_right(owner.times, time - self.delay * DAY)
        for days in self.windows:
            first = bisect_right(owner.times, time - (days + self.delay) * DAY)
            count = last - first
            values += [float(count), (owner.totals[last] - owner.totals[first]) / count if count else 0.0]
        return np.array(values, np.float64)

    def _take(self, event: Event) -> None:
        kind, time, customer, terminal, amount = event
        if kind == FRAUD:
            place = self._place(time, terminal)
            if place is not None:
                totals = self._terminals[terminal].totals
                for index in range(place + 1, len(totals)):
                    totals[index] += 1
            return
        card = self._cards.setdefault(customer, _Owner())
        card.append(time, amount)
        card.drop_until(time - max(self.windows) * DAY)
        owner = self._terminals.setdefault(terminal, _Owner())
        owner.append(time, 0)
        owner.drop_until(time - (max(self.windows) + self.delay) * DAY)
        self._last = time

    def _place(self, time: int, terminal: int) -> int | None:
        """The first transaction at that moment that is not known to be fraud."""
        owner = self._terminals.get(terminal)
        if owner is None:
            return None
        for index in range(bisect_left(owner.times, time), bisect_right(owner.times, time)):
            if owner.totals[index + 1] == owner.totals[index]:
                return index
        return None

    def _hashed(self, name: Any) -> int:
        return int.from_bytes(hashlib.blake2b(str(name).encode(), digest_size=8, key=self._key).digest(), "little")

    # ------------------------------------------------------------------------------------------------- keeping

    @classmethod
    def open(cls, folder: Path, *, windows: Sequence[int] = WINDOWS, delay: int = DELAY) -> OnlineState:
        """The state that is kept in a folder; a new one where the folder is empty or missing.

        A journal whose last record was cut off by a power failure is read up to there.

        Raises:
            DataError: The folder's state is damaged, or has other windows or another delay.
        """
        state = cls(windows=windows, delay=delay)
        folder.mkdir(parents=True, exist_ok=True)
        state._folder = folder
        key = folder / "key"
        if not key.exists():
            write_whole(key, state._key)
            key.chmod(0o600)
        state._key = key.read_bytes()
        snapshots = sorted(folder.glob("state-*.npz"), key=lambda path: int(path.stem.partition("-")[2]))
        if snapshots:
            state._number = int(snapshots[-1].stem.partition("-")[2])
            state._restore(snapshots[-1])
        for event in recovered(state._journal_path):
            state._take(event)
        state._journal = Journal(state._journal_path)
        return state

    def save(self) -> None:
        """Write the whole state and begin a new journal. What is too old to be counted is left out.

        Raises:
            DataError: The state was not opened in a folder.
        """
        if self._folder is None or self._journal is None:
            raise DataError("the state has no folder", where="online state", hint="OnlineState.open(folder)")
        before = self._number
        self._number += 1
        write_whole(self._folder / f"state-{self._number}.npz", self._packed())
        self._journal.close()
        self._journal = Journal(self._journal_path)
        (self._folder / f"journal-{before}").unlink(missing_ok=True)
        (self._folder / f"state-{before}.npz").unlink(missing_ok=True)

    def close(self) -> None:
        """Save, and let go of the folder."""
        if self._journal is not None:
            self.save()
            self._journal.close()
            self._journal = None

    @property
    def _journal_path(self) -> Path:
        assert self._folder is not None
        return self._folder / f"journal-{self._number}"

    def _write(self, event: Event) -> None:
        if self._journal is not None:
            self._journal.append(event)

    def _packed(self) -> bytes:
        arrays: dict[str, np.ndarray] = {
            "windows": np.array(self.windows, np.int64),
            "delay": np.array(self.delay, np.int64),
            "last": np.array(self._last, np.int64),
        }
        reach = {"cards": max(self.windows), "terminals": max(self.windows) + self.delay}
        for name, owners in (("cards", self._cards), ("terminals", self._terminals)):
            kept = [
                (number, owner) for number, owner in owners.items() if owner.times[-1] > self._last - reach[name] * DAY
            ]
            arrays[f"{name}_key"] = np.array([number for number, _ in kept], np.uint64)
            arrays[f"{name}_count"] = np.array([len(owner.times) for _, owner in kept], np.int64)
            for part in ("times", "totals"):
                columns = [np.frombuffer(getattr(owner, part), np.int64) for _, owner in kept]
                arrays[f"{name}_{part}"] = np.concatenate(columns) if columns else np.zeros(0, np.int64)
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        return stream.getvalue()

    def _restore(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                kept = (tuple(arrays["windows"].tolist()), int(arrays["delay"]))
                if kept == (self.windows, self.delay):
                    self._last = int(arrays["last"])
                    self._cards = _owners(arrays, "cards")
                    self._terminals = _owners(arrays, "terminals")
        except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise DataError("the state is damaged", where=str(path), why=str(error)) from error
        if kept != (self.windows, self.delay):
            raise DataError(
                "the state was kept for other windows or another delay",
                where=str(path),
                why=f"its windows and delay in days are {kept}, the model's {(self.windows, self.delay)}",
                hint="begin a new state in another folder",
            )


def _owners(arrays: Any, name: str) -> dict[int, _Owner]:
    owners: dict[int, _Owner] = {}
    times, totals = arrays[f"{name}_times"], arrays[f"{name}_totals"]
    first = 0
    for index, (key, count) in enumerate(
        zip(arrays[f"{name}_key"].tolist(), arrays[f"{name}_count"].tolist(), strict=True)
    ):
        owner = _Owner()
        owner.times = array("q", times[first : first + count].tobytes())
        # Each owner has one total more than it has moments.
        owner.totals = array("q", totals[first + index : first + index + count + 1].tobytes())
        owners[key] = owner
        first += count
    return owners
