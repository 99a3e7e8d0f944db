"""The sample rate for recordings of one or of several rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

WIDE, NARROW = 16_000, 8_000
"""Hz: speech is recorded for machines at the first, for telephones at the second."""
RARE = 0.01
"""Rates that fewer clips have than this share decide nothing."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The rate that recordings are brought to."""

    rate: int
    """Hz."""
    lowest: int = 0
    """The rate up to which every recording has something to hear, Hz: at most `rate`."""

    def __post_init__(self) -> None:
        if not self.lowest:
            object.__setattr__(self, "lowest", self.rate)


def choose_sampling(rates: Mapping[str, int], classes: Mapping[str, str], notes: list[str]) -> Sampling:
    """16,000 Hz, or 8,000 Hz where the recordings hold no more; and how far up the bands may go.

    A recording of a lower rate has nothing above half of it. Where such recordings stand beside others, bands up there
    would tell the microphone, and with it perhaps the word: no band is put there.

    Args:
        rates: Sample rate in Hz of each clip by its path.
        classes: Class of each clip by its path.
        notes: What was found is added where there is more than one rate, or one that is low.
    """
    counts = Counter(rates.values())
    usual = {rate: count for rate, count in counts.items() if count >= RARE * len(rates)}
    if not usual:
        return Sampling(rate=WIDE)
    rate = WIDE if max(usual) > (NARROW + WIDE) / 2 else NARROW
    lowest = min(rate, min(usual))
    listed = ", ".join(f"{hertz:,} Hz ({count:,} clips)" for hertz, count in sorted(counts.items()))
    if len(counts) > 1:
        notes.append(f"mixed sample rates: {listed}; all are brought to {rate:,} Hz")
        per_class: dict[str, set[int]] = {}
        for path, hertz in rates.items():
            per_class.setdefault(classes.get(path, ""), set()).add(min(rate, hertz))
        if lowest < rate:
            notes.append(
                f"recordings at {lowest:,} Hz hold nothing above {lowest / 2:,.0f} Hz: no band is put there, so that "
                "the rate cannot give the word away"
            )
        elif len(set(map(frozenset, per_class.values()))) > 1:
            notes.append("the sample rate differs from word to word: a model can learn it in place of the word")
    elif rate == NARROW:
        notes.append(
            f"the recordings have {listed}: the front end has {rate:,} Hz, and what it hears is brought to that"
        )
    return Sampling(rate=rate, lowest=lowest)
