"""Which of the student's layers is compared with which of the teacher's: by name, or by a sensible default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from penjing.compression.distillation.taps import Feature
from penjing.compression.model_tree import matches
from penjing.errors import ModelError

Comparison = Literal["hints", "attention", "relations"]
Pair = tuple[Feature, Feature]
"""(student's, teacher's)."""


def paired_layers(
    kind: Comparison,
    patterns: Sequence[tuple[str, str]],
    student: Mapping[str, Feature],
    teacher: Mapping[str, Feature],
) -> list[Pair]:
    """Pairs of layers to compare.

    Args:
        patterns: (student's, teacher's). A pattern may fit several layers: as many as its partner, which are then
            paired in the order in which they run. None at all asks for the default, see `default_pair`.
        student: Features of the student by layer path, in the order in which they run; see `taps.probe`.

    Raises:
        ModelError: A pattern fits nothing, a pattern and its partner fit different numbers of layers, or the shapes of
            two layers cannot be compared; it lists the layers.
    """
    if not patterns:
        return [default_pair(kind, student, teacher)]
    pairs: list[Pair] = []
    for first, second in patterns:
        ours = fitting_layers(first, student, "student")
        theirs = fitting_layers(second, teacher, "teacher")
        if len(ours) != len(theirs):
            raise ModelError(
                f"'{first}' fits {len(ours)} layers of the student, '{second}' {len(theirs)} of the teacher",
                where=f"setting 'losses', kind '{kind}'",
                why="they are paired in order, so there must be as many of each: "
                f"{_listed(ours)}; and {_listed(theirs)}",
                hint="make the patterns narrower",
            )
        pairs += zip(ours, theirs, strict=True)
    for ours_, theirs_ in pairs:
        _check_pair(kind, ours_, theirs_, student, teacher)
    return pairs


def default_pair(kind: Comparison, student: Mapping[str, Feature], teacher: Mapping[str, Feature]) -> Pair:
    """The pair that is compared when none is named.

    Hints and attention take the student's last feature map before the head for which the teacher has one of equal
    spatial size, and the last such one of the teacher; where no two sizes are equal, the last maps before the heads
    with as many axes of space. Models without feature maps give their last vectors before the head (hints only).
    Relations take the last layers before the heads.

    Raises:
        ModelError: There is no such pair.
    """
    ours, theirs = _before_head(student), _before_head(teacher)
    if kind == "relations":
        if ours and theirs:
            return ours[-1], theirs[-1]
    else:
        pairs = [(first, second) for first in _last_maps(ours) for second in _last_maps(theirs)]
        for first, second in pairs:
            if first.spatial == second.spatial:
                return first, second
        for first, second in pairs:
            if len(first.spatial) == len(second.spatial):
                return first, second
        has_maps = any(feature.is_map for feature in (*ours, *theirs))
        if kind == "hints" and not has_maps and ours and theirs:
            return ours[-1], theirs[-1]
    needed = "layers before the head" if kind == "relations" else "feature maps with as many axes of space"
    raise ModelError(
        f"student and teacher have no {needed}",
        where=f"setting 'losses', kind '{kind}'",
        why=f"student: {_listed(ours)}; teacher: {_listed(theirs)}",
        hint='name a pair: layers = [["student\'s layer", "teacher\'s layer"]], or use kind = "relations", which '
        "compares any sizes",
    )


def _before_head(features: Mapping[str, Feature]) -> list[Feature]:
    return [feature for feature in features.values() if feature.before_head and not feature.is_noise]


def _last_maps(features: Sequence[Feature]) -> list[Feature]:
    return [feature for feature in reversed(features) if feature.is_map]


def fitting_layers(pattern: str, features: Mapping[str, Feature], whose: str) -> list[Feature]:
    """Layers that a pattern fits, in the order in which they run.

    Raises:
        ModelError: There are none, or one of them is used several times.
    """
    fitting = [feature for path, feature in features.items() if matches(path, [pattern])]
    if not fitting:
        raise ModelError(
            f"no layer of the {whose} fits '{pattern}'",
            where="setting 'losses', 'layers'",
            hint="layers are: " + _listed(list(features.values())),
        )
    repeated = [feature.path for feature in fitting if feature.calls > 1]
    if repeated:
        raise ModelError(
            f"the {whose}'s layer '{repeated[0]}' is used several times, so it has no one output",
            where="setting 'losses', 'layers'",
            hint="name a layer that is used once",
        )
    return fitting


def _check_pair(
    kind: Comparison, ours: Feature, theirs: Feature, student: Mapping[str, Feature], teacher: Mapping[str, Feature]
) -> None:
    reason = None
    if kind == "attention" and not (len(ours.shape) > 1 and len(theirs.shape) > 1):
        reason = "attention needs feature maps, with positions and channels"
    elif kind != "relations" and len(ours.spatial) != len(theirs.spatial):
        reason = "one has more axes of space than the other"
    if reason is not None:
        raise ModelError(
            f"the layers '{ours.path}' and '{theirs.path}' cannot be compared: {ours.shape} and {theirs.shape}",
            where=f"setting 'losses', kind '{kind}'",
            why=reason,
            hint=f"student: {_listed(list(student.values()))}; teacher: {_listed(list(teacher.values()))}",
        )


def _listed(features: Sequence[Feature]) -> str:
    return ", ".join(f"{feature.path} {feature.shape}" for feature in features) or "none"
