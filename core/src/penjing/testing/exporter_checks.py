"""Checks of an exporter, on a small finished bundle."""

from __future__ import annotations

from penjing.testing.checks import ConformanceError
from penjing.testing.exporter_subject import ExporterUnderTest


def check_exporter_resolves(subject: ExporterUnderTest) -> None:
    """The exporter's import string leads to a function, and it has a summary.

    Write "package.module:function".
    """
    if not callable(subject.function) or not subject.exporter.summary:
        raise ConformanceError(f"'{subject.exporter.export}' cannot be called, or the summary is empty")


def check_exporter_writes_into_its_folder(subject: ExporterUnderTest) -> None:
    """It writes at least one file, all of them into the folder that it is given, and returns exactly those.

    Return the paths of the files, below the folder.
    """
    folder, returned = subject.export("first")
    outside = [path for path in returned if folder.resolve() not in path.resolve().parents]
    if outside:
        raise ConformanceError(f"{outside[0]} does not lie in the folder")
    empty = [path for path in returned if not path.is_file() or not path.stat().st_size]
    if empty or not returned:
        raise ConformanceError(f"{empty[0].name} is no file, or empty" if empty else "it returned nothing")
    written = {path.resolve() for path in folder.rglob("*") if path.is_file()}
    unsaid = written - {path.resolve() for path in returned}
    if unsaid:
        raise ConformanceError(f"it does not return {sorted(path.name for path in unsaid)}")


def check_exporter_leaves_the_bundle_alone(subject: ExporterUnderTest) -> None:
    """The bundle on disk is the same afterwards, to the byte.

    Write into the folder that is given, and nowhere else.
    """
    before = subject.bundle_content()
    subject.export("second")
    if subject.bundle_content() != before:
        raise ConformanceError("a file of the bundle has changed, or one has come or gone")


def check_exporter_is_deterministic(subject: ExporterUnderTest) -> None:
    """Exported twice, the files are the same, to the byte.

    Leave out dates and random names: a file that changes without a reason cannot be compared.
    """
    (one, first), (other, second) = subject.export("third"), subject.export("fourth")
    for path in first:
        twin = other / path.relative_to(one)
        if not twin.is_file() or twin.read_bytes() != path.read_bytes():
            raise ConformanceError(f"{path.name} differs")
    if len(first) != len(second):
        raise ConformanceError(f"{len(first)} files, and then {len(second)}")
