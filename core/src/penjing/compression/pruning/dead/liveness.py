"""Which channels nothing needs: those that are constant where they are read, and those that nothing reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from penjing.compression.bounds.propagation import ModelBounds
from penjing.compression.pruning.dead.readers import Reader, find_readers
from penjing.compression.structure.builder import AxisUse
from penjing.compression.structure.graph import ChannelGraph

UNREAD = "read by no later layer"


@dataclass(frozen=True, kw_only=True)
class DeadChannels:
    """Atoms of a channel graph that can go, and what to do before they go."""

    graph: ChannelGraph
    atoms: np.ndarray
    """Those that go. Sorted, int64."""
    stubs: np.ndarray
    """Those that nothing needs either, but that stay, since no layer can have zero channels."""
    rules: Mapping[int, str]
    """Which rule found each atom."""
    readers: tuple[Reader, ...]

    def fold(self) -> None:
        """Put the constants of the dead channels into the biases behind them, and let nothing read the stubs. Until
        the channels are removed, the model computes something else."""
        for reader in self.readers:
            reader.fold(self._unneeded(reader.units))
        for use in self.graph.uses:
            rows = np.isin(self.graph.atom_of[use.units], self.stubs)
            if use.role == "reads" and rows.any():
                values = np.array(use.variable)
                np.moveaxis(values, use.axis, 0)[rows] = 0
                use.variable.assign(values)

    def lack_bias(self) -> list[Reader]:
        """Readers that have nowhere to put the constants."""
        return [
            r for r in self.readers if self.atoms.size and r.lacks_bias and np.any(r.shift(self._unneeded(r.units)))
        ]

    def by_layer(self) -> dict[str, Counter[str]]:
        """Number of dead channels per rule, for each layer that makes some, in the order of the graph."""
        counts: dict[str, Counter[str]] = {}
        for path, units in _makers(self.graph).items():
            gone = units[self._gone(units)]
            if gone.size:
                counts[path] = Counter(self.rules[int(atom)] for atom in self.graph.atom_of[gone])
        return counts

    def _unneeded(self, units: np.ndarray) -> np.ndarray:
        return np.isin(self.graph.atom_of[units], np.union1d(self.atoms, self.stubs))

    def _gone(self, units: np.ndarray) -> np.ndarray:
        return np.isin(self.graph.atom_of[units], self.atoms)


def channel_counts(graph: ChannelGraph) -> dict[str, int]:
    """Number of channels of each layer that makes some."""
    return {path: len(units) for path, units in _makers(graph).items()}


def _makers(graph: ChannelGraph) -> dict[str, np.ndarray]:
    """Units by the path of the layer that makes them, each once."""
    makers: dict[str, np.ndarray] = {}
    for use in graph.uses:
        if use.role == "makes":
            makers.setdefault(use.path, np.unique(use.units))
    return makers


def find_dead(bounds: ModelBounds, graph: ChannelGraph, *, promised: bool = False) -> DeadChannels:
    """Channels that can go without any change of the outputs.

    Liveness, from the outputs backwards: a channel is needed where a kernel reads it with a weight that is not zero
    into a channel that is needed, unless it is constant there and the constant can go into the bias. Every layer keeps
    one channel at least, if only as a stub that nothing reads.

    Args:
        promised: Weights that stay must not change, since an earlier step has promised something about them. Then
            there are no stubs: what a layer keeps, it keeps with all that it reads.
    """
    readers = find_readers(bounds, graph)
    reads = [use for use in graph.uses if use.role == "reads"]
    makes = {id(use.variable): use for use in graph.uses if use.role == "makes" and len(use.variable.shape) > 1}
    connected = {id(use.variable): _connections(use, makes.get(id(use.variable))) for use in reads}
    needed = np.ones(len(graph.atom_of), bool)
    for use in graph.uses:
        for atom in graph.atom_of[use.units].tolist():
            needed[atom] = graph.why_protected(atom) is not None
    for call in bounds.graph.calls:
        # Masking looks at all channels to find the steps that count.
        labels = graph.labels(call.inputs[0].tensor) if isinstance(call.operation, keras.layers.Masking) else None
        if labels is not None:
            needed[graph.atom_of[labels.units]] = True
    while True:
        before = needed.copy()
        for use in reads:
            maker, weights = makes.get(id(use.variable)), connected[id(use.variable)]
            columns = needed[graph.atom_of[maker.units]] if maker is not None else np.ones(weights.shape[1], bool)
            rows = graph.atom_of[use.units[weights[:, columns].any(axis=1)]]
            needed[rows[~np.isin(rows, _dispensable(graph, readers.get(id(use.variable))))]] = True
        if (needed == before).all():
            stubs = _stubs(graph, needed)
            if not (promised and stubs):
                break
            needed[max(stubs)] = True  # the last first: it may need what the others would keep
    atoms = np.array([atom for atom in np.unique(graph.atom_of) if not needed[atom] and atom not in stubs], np.int64)
    return DeadChannels(
        graph=graph,
        atoms=atoms,
        stubs=np.array(sorted(stubs), np.int64),
        rules=_rules(graph, atoms, readers),
        readers=tuple(readers.values()),
    )


def _connections(use: AxisUse, maker: AxisUse | None) -> np.ndarray:
    """Which row of a kernel has a weight into which column. bool (rows, columns)."""
    read = np.asarray(use.variable) != 0
    if maker is None:
        return read.any(axis=tuple(axis for axis in range(read.ndim) if axis != use.axis))[:, None]
    others = tuple(axis for axis in range(read.ndim) if axis not in (use.axis, maker.axis))
    pairs = read.any(axis=others)
    return pairs if use.axis < maker.axis else pairs.T


def _dispensable(graph: ChannelGraph, reader: Reader | None) -> np.ndarray:
    """Atoms that a reader can do without wherever it reads them."""
    if reader is None:
        return np.zeros(0, np.int64)
    atoms = graph.atom_of[reader.units]
    return np.setdiff1d(atoms, atoms[~reader.unneeded])


def _stubs(graph: ChannelGraph, needed: np.ndarray) -> set[int]:
    """One atom of every axis that would be left without any."""
    stubs: set[int] = set()
    for use in graph.uses:
        atoms = graph.atom_of[use.units]
        if atoms.size and not needed[atoms].any() and stubs.isdisjoint(atoms.tolist()):
            stubs.add(int(atoms[0]))
    return stubs


def _rules(graph: ChannelGraph, atoms: np.ndarray, readers: Mapping[int, Reader]) -> dict[int, str]:
    rules = dict.fromkeys(atoms.tolist(), UNREAD)
    for reader in readers.values():
        for channel in np.flatnonzero(reader.interval.constant & ~reader.unread):
            atom = int(graph.atom_of[reader.units[channel]])
            if rules.get(atom) == UNREAD:
                rules[atom] = str(reader.interval.rule[channel])
    return rules
