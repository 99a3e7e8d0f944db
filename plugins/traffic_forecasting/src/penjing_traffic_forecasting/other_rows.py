"""Tables in other forms than CSV: Parquet, pandas frames in HDF5, and PeMS archives of numpy."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from penjing.errors import DataError, MissingExtraError
from penjing_traffic_forecasting.columns import TIME_NAMES, VALUE_NAMES
from penjing_traffic_forecasting.series import Rows, RowStore, pieces

PIECE = 16_384
"""Rows that are read at once."""


def read_parquet(path: Path, options: Mapping[str, Any]) -> Rows:
    """A table of sensors by time, in pieces: what does not fit in memory is kept in a temporary file.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DataError: The file is damaged, empty, or a column holds no numbers.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("reading Parquet needs pyarrow", hint="pip install pyarrow") from error
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError("the file is no Parquet", where=str(path), why=str(error)) from error
    schema = file.schema_arrow
    wanted = options.get("time_column", "")
    names = [name for name in schema.names if name not in ("__index_level_0__",)]
    times = [
        name
        for name in schema.names
        if (name == wanted) or (not wanted and (pa.types.is_timestamp(schema.field(name).type)))
    ]
    if not times and not wanted:
        times = [
            name for name in schema.names if name.lower() in TIME_NAMES and pa.types.is_string(schema.field(name).type)
        ]
    if wanted and wanted not in schema.names:
        raise DataError(f"there is no column '{wanted}'", where=path.name)
    time = times[0] if times else None
    zone = getattr(schema.field(time).type, "tz", None) if time else None
    columns = [name for name in names if name != time and not pa.types.is_timestamp(schema.field(name).type)]
    value = options.get("value_column", "") or next((n for n in VALUE_NAMES if n in columns and len(columns) > 1), "")
    if value:
        if value not in columns:
            raise DataError(f"there is no column '{value}'", where=path.name)
        columns = [value]
    for name in columns:
        kind = schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise DataError(
                f"column '{name}' holds {kind} instead of numbers", where=path.name, hint="name one: value_column = ''"
            )
    if not columns or not file.metadata.num_rows:
        raise DataError("the file has no rows" if columns else "there is no column of values", where=path.name)
    store, found, row = RowStore(len(columns)), [], 1
    try:
        for batch in file.iter_batches(batch_size=PIECE, columns=[*([time] if time else []), *columns]):
            block = np.stack(
                [batch.column(name).to_numpy(zero_copy_only=False).astype(np.float32) for name in columns], axis=1
            )
            refuse_infinite(block, path.name, columns, row)
            store.append(block)
            if time:
                found.append(_arrow_seconds(batch.column(time), path.name, time, row))
            row += len(block)
    except pa.ArrowException as error:
        raise DataError("the file is damaged", where=path.name, why=str(error)) from error
    return Rows(
        sensors=tuple(columns),
        values=store.finish(),
        times=np.concatenate(found) if time else None,
        name=path.name,
        notes=(f"times are stored at {zone} and taken as they are stored",) if zone else (),
    )


def _arrow_seconds(column: Any, file: str, name: str, row: int) -> np.ndarray:
    import pyarrow as pa

    if column.null_count:
        index = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError("a time is missing", where=f"{file}, row {row + index:,}, column '{name}'")
    if pa.types.is_string(column.type):
        from penjing_traffic_forecasting.clock import Clock

        return Clock().seconds(column.to_pylist(), file=file, column=name, first_row=row)
    return (
        column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
        .to_numpy(zero_copy_only=False)
        .astype("datetime64[s]")
        .astype(np.int64)
    )


def read_npz(path: Path, options: Mapping[str, Any]) -> Rows:
    """A PeMS archive: `data` of shape (steps, sensors) or (steps, sensors, features), of which one is taken.

    Args:
        options: `feature`, the number of the feature, from 0.

    Raises:
        DataError: The file is no archive, has no such array, or holds pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
            if not names:
                raise DataError("the archive holds no array", where=path.name)
            name = "data" if "data" in names else names[0]
            data = archive[name]
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        pickled = "pickle" in str(error).lower()
        raise DataError(
            "the file holds pickled Python objects, which are never opened"
            if pickled
            else "the file is no .npz archive",
            where=path.name,
            why="unpickling runs code that the file brings" if pickled else str(error),
        ) from error
    if not np.issubdtype(data.dtype, np.number) or data.ndim not in (2, 3) or not data.size:
        raise DataError(
            f"array '{name}' has shape {data.shape} and type {data.dtype}",
            where=path.name,
            hint="it should be numbers of shape (steps, sensors, features)",
        )
    notes = [] if name == "data" or len(names) == 1 else [f"there is no array 'data': '{name}' was taken"]
    if data.ndim == 3:
        feature = options.get("feature", 0)
        if not 0 <= feature < data.shape[2]:
            raise DataError(
                f"there is no feature {feature}", where=path.name, why=f"'{name}' has {data.shape[2]}, from 0"
            )
        if data.shape[2] > 1:
            notes.append(f"feature {feature} of {data.shape[2]} is forecast; [data] feature chooses another")
        data = data[:, :, feature]
    sensors = tuple(str(number) for number in range(data.shape[1]))
    values = data.astype(np.float32)
    refuse_infinite(values, path.name, sensors, 1)
    return Rows(sensors=sensors, values=values, times=None, name=path.name, notes=tuple(notes))


def read_hdf5(path: Path, options: Mapping[str, Any]) -> Rows:
    """A pandas frame of sensors by time in HDF5, as METR-LA and PEMS-BAY come: fixed format, read without PyTables.

    The layout is that of pandas' `HDFStore`: `axis0` holds the columns, `axis1` the times, `blockN_items` and
    `blockN_values` the columns of one type.

    Raises:
        MissingExtraError: h5py is not installed.
        DataError: The file is damaged or holds no such frame.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError(
            "reading .h5 needs h5py", hint="pip install 'penjing-traffic-forecasting[hdf5]'"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            frames = [
                name for name, group in file.items() if isinstance(group, h5py.Group) and "block0_values" in group
            ]
            if not frames:
                raise DataError(
                    "the file holds no pandas frame of fixed format",
                    where=path.name,
                    why=f"it holds {', '.join(map(str, file)) or 'nothing'}",
                    hint="write it anew: frame.to_hdf(path, key='df', format='fixed')",
                )
            name = "df" if "df" in frames else frames[0]
            return _frame(file[name], f"{path.name}, '{name}'")
    except OSError as error:
        raise DataError("the file is no HDF5, or is damaged", where=path.name, why=str(error)) from error


def _frame(group: Any, where: str) -> Rows:
    try:
        sensors = [_text(item) for item in group["axis0"][:]]
        index = group["axis1"]
        width, count = len(sensors), len(index)
        position = {sensor: number for number, sensor in enumerate(sensors)}
        blocks = sorted(key for key in group if key.startswith("block") and key.endswith("_values"))
        store = RowStore(width)
        for part in pieces(count, PIECE):
            made = np.full((part.stop - part.start, width), np.nan, np.float32)
            for block in blocks:
                values = group[block]
                if not np.issubdtype(values.dtype, np.number):
                    items = ", ".join(_text(item) for item in group[block.replace("_values", "_items")][:3])
                    raise DataError(f"the columns {items} hold no numbers", where=where)
                columns = [position[_text(item)] for item in group[block.replace("_values", "_items")][:]]
                made[:, columns] = values[part]
            refuse_infinite(made, where, sensors, part.start + 1)
            store.append(made)
    except (KeyError, TypeError) as error:
        raise DataError("the frame has not pandas' fixed layout", where=where, why=str(error)) from error
    if not count:
        raise DataError("the frame has no rows", where=where)
    kind = _text(index.attrs.get("kind", b""))
    times = None
    if kind.startswith("datetime64"):
        unit = kind[11:-1] if "[" in kind else "ns"
        times = index[:].astype(f"datetime64[{unit}]").astype("datetime64[s]").astype(np.int64)
    return Rows(sensors=tuple(sensors), values=store.finish(), times=times, name=where)


def _text(item: Any) -> str:
    return item.decode() if isinstance(item, bytes) else str(item)


def refuse_infinite(values: np.ndarray, file: str, columns: Any, first_row: int) -> None:
    """Raises:
    DataError: A value is infinite; `where` is its row, counted from 1, and column.
    """
    wrong = np.argwhere(np.isinf(values))
    if len(wrong):
        row, column = map(int, wrong[0])
        raise DataError("a value is infinite", where=f"{file}, row {first_row + row:,}, column '{columns[column]}'")
