"""Checks of a domain's data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import PARTS, DataRequest, Split
from penjing.errors import DataError, PenjingError, RecipeError
from penjing.testing.arrays import digest, parts_of
from penjing.testing.checks import ConformanceError, NotApplicableError
from penjing.testing.domain_subject import DomainUnderTest
from penjing.testing.network import require_no_attempt

MOST_CPU_SECONDS = 60.0
"""Processor time in which the built-in sample must be there. A first try that takes longer is not tried."""
TIME_COLUMNS = ("time", "day", "date", "month", "year", "step")
"""Slice columns that tell when an example was, the first that is there."""
NO_OPTION = "no_such_option_exists"


def check_sample_is_offline(subject: DomainUnderTest) -> None:
    """`load_data` with no path gives a built-in sample, and does not ask for the network.

    Generate the sample, or ship it in the wheel; fetch public data only where a path or an option asks for it.
    """
    require_no_attempt(subject.loaded.network_attempts, "the sample")


def check_sample_is_quick(subject: DomainUnderTest) -> None:
    """The sample is there within a minute of processor time.

    Make it smaller by default, and give its size an option.
    """
    seconds = subject.loaded.cpu_seconds
    if subject.data is None and seconds > MOST_CPU_SECONDS:
        raise ConformanceError(f"it took {seconds:.0f} s of processor time; at most {MOST_CPU_SECONDS:.0f} s")


def check_sample_is_seeded(subject: DomainUnderTest) -> None:
    """The same seed gives the same data and split, another seed another.

    Draw everything from numpy.random.default_rng(request.seed), and from nothing else: no clock, no hash(), no set
    order, no global generator.
    """
    first, again = subject.splits, subject.load()
    for part in PARTS:
        for field in ("x", "y", "ids", "groups", "slices"):
            if digest(getattr(getattr(first, part), field)) != digest(getattr(getattr(again, part), field)):
                raise ConformanceError(f"{part}.{field} differs when it is loaded again with seed {subject.seed}")
    if first.sha256 != again.sha256:
        raise ConformanceError("Splits.sha256 differs when it is loaded again with the same seed")
    other = subject.load(seed=subject.seed + 1)
    if subject.data is None and digest(other.train.x) == digest(first.train.x):
        raise ConformanceError(f"seed {subject.seed + 1} gives the same training part as seed {subject.seed}")


def check_request_is_not_changed(subject: DomainUnderTest) -> None:
    """`load_data` does not change the options that it is given.

    Copy them first: {**DEFAULTS, **request.options}.
    """
    options = dict(subject.recipe.data)
    before = digest(options)
    subject.resolve(subject.domain.load_data)(DataRequest(path=subject.data, seed=subject.seed, options=options))
    if digest(options) != before:
        raise ConformanceError("the options are others after the call")


def check_sample_fits_the_contract(subject: DomainUnderTest) -> None:
    """The data has the types that the contract names, and says what it is.

    See penjing.contract.Split and Splits: float32 or int32 inputs, one id an example, the slice columns of the domain
    where figures are read, JSON values in `preprocessing`, and words for source, inputs and outputs.
    """
    splits, domain = subject.splits, subject.domain
    wrong = []
    for part in PARTS:
        wrong += [
            f"{part}: {fault}"
            for fault in _part_faults(getattr(splits, part), () if part == "train" else domain.slices)
        ]
    for field in ("source", "sha256", "input_meaning", "output_meaning"):
        if not getattr(splits, field):
            wrong.append(f"Splits.{field} is empty")
    try:
        json.dumps(dict(splits.preprocessing), allow_nan=False)
    except (TypeError, ValueError) as error:
        wrong.append(f"Splits.preprocessing holds something else than JSON values: {error}")
    if subject.data is None and not splits.synthetic and "sample" not in splits.source.lower():
        wrong.append("the built-in sample neither says synthetic=True nor calls itself a sample in `source`")
    if wrong:
        raise ConformanceError("\n".join(wrong))


def check_no_example_or_group_in_two_parts(subject: DomainUnderTest) -> None:
    """No example, and no group, stands in two parts; no part is empty, nothing is NaN.

    Split by the group (speaker, patient, card) and not by the example. Only a split by time may have the same group on
    both sides; the domain then says split_by="time".
    """
    from penjing.runner.data_checks import check_splits

    splits = subject.splits
    if subject.domain.split_by == "time":
        parts = {part: replace(getattr(splits, part), groups=None) for part in PARTS}
        splits = replace(splits, **parts)
    check_splits(splits, subject.domain.task)
    for part in PARTS:
        ids = list(map(str, getattr(subject.splits, part).ids))
        if len(set(ids)) != len(ids):
            raise ConformanceError(f"{part}: {len(ids) - len(set(ids)):,} ids stand there more than once")


def check_groups_are_given(subject: DomainUnderTest) -> None:
    """A domain that says what keeps its parts apart names the group of each example.

    Fill Split.groups, or leave `split_by` empty where nothing is known.
    """
    split_by = subject.domain.split_by
    if not split_by or split_by == "time":
        raise NotApplicableError(f"split_by is {split_by!r}")
    missing = [part for part in PARTS if getattr(subject.splits, part).groups is None]
    if missing:
        raise ConformanceError(f"split_by is '{split_by}', and there are no groups in {', '.join(missing)}")


def check_time_order_is_kept(subject: DomainUnderTest) -> None:
    """In a split by time nothing of the test part is earlier than anything of training or validation.

    Cut at a moment, and leave a gap as long as labels take to be known. Give a slice column 'time' (or 'day', 'date')
    whose values sort by time, so that it can be seen.
    """
    if subject.domain.split_by != "time":
        raise NotApplicableError("the split is not by time")
    columns = subject.splits.test.slices
    name = next((name for name in TIME_COLUMNS if name in columns), None)
    if name is None:
        raise ConformanceError(f"no slice column tells the time: {', '.join(columns) or 'there is none'}")
    times = {part: _sorted(getattr(subject.splits, part).slices[name]) for part in PARTS}
    start = times["test"][0]
    for part in ("train", "validation"):
        if times[part][-1] > start:
            raise ConformanceError(f"'{name}' of {part} goes up to {times[part][-1]}, the test part begins at {start}")
    first, second = ("train", "validation")
    if times[second][0] < times[first][0]:
        first, second = second, first
    if times[first][-1] > times[second][0]:
        raise ConformanceError(f"{first} and {second} overlap in '{name}'")


def check_unknown_options_are_refused(subject: DomainUnderTest) -> None:
    """An unknown key in the recipe's tables is refused, with its nearest valid name.

    penjing.options.with_defaults does it: defaults, types and ranges in one call.
    """
    tables = [("data", lambda: subject.load(**{NO_OPTION: 1}))]
    for table, import_string in (("model", subject.domain.build_model), ("teacher", subject.domain.build_teacher)):
        if import_string:
            given = {**dict(getattr(subject.recipe, table)), NO_OPTION: 1}
            tables.append((table, lambda s=import_string, o=given: subject.build(s, o)))  # type: ignore[misc]
    for table, call in tables:
        try:
            call()
        except (DataError, RecipeError) as error:
            if NO_OPTION not in str(error):
                raise ConformanceError(f"[{table}]: the error does not name the key: {error}") from error
            continue
        raise ConformanceError(f"[{table}]: the unknown key '{NO_OPTION}' is taken without a word")


def check_missing_data_is_refused(subject: DomainUnderTest) -> None:
    """A path that does not exist, and an empty folder, are refused with a DataError that names them.

    Raise penjing.errors.DataError(what, where=str(path), why=..., hint=...).
    """
    load_data = subject.resolve(subject.domain.load_data)
    empty = subject.folder / "empty-folder"
    empty.mkdir(exist_ok=True)
    for path in (Path(subject.folder) / "no-such-file.csv", empty):
        try:
            load_data(DataRequest(path=path, seed=subject.seed, options=dict(subject.recipe.data)))
        except DataError as error:
            if path.name not in str(error):
                raise ConformanceError(f"the error does not name '{path.name}': {error}") from error
            continue
        except PenjingError as error:
            raise ConformanceError(f"'{path.name}': {type(error).__name__} instead of DataError: {error}") from error
        except Exception as error:
            raise ConformanceError(f"'{path.name}': {type(error).__name__} instead of DataError: {error}") from error
        raise ConformanceError(f"'{path.name}' is taken as data")


def _part_faults(part: Split, slices: tuple[str, ...]) -> list[str]:
    faults = []
    for name, array in parts_of(part.x).items():
        if array.dtype not in (np.float32, np.int32):
            faults.append(f"inputs {name} are {array.dtype} instead of float32 or int32".replace("  ", " "))
    y = np.asarray(part.y)
    if y.dtype.kind not in "iuf":
        faults.append(f"targets are {y.dtype}")
    for name in slices:
        if name not in part.slices:
            faults.append(f"there is no slice column '{name}'")
    columns: dict[str, Any] = {f"slice '{name}'": values for name, values in part.slices.items()}
    columns |= {"groups": part.groups, "raw": part.raw}
    faults += [
        f"{name}: {len(values):,} values for {len(part):,} examples"
        for name, values in columns.items()
        if values is not None and len(values) != len(part)
    ]
    if not all(isinstance(name, str) for name in part.ids):
        faults.append("ids are not all text")
    return faults


def _sorted(values: Any) -> np.ndarray:
    array = np.asarray(values)
    return np.sort(array if array.dtype.kind in "iufM" else array.astype(str))
