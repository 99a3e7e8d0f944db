"""DICOM files as images: modality and display transforms as the standard states them, by pydicom.

Source: DICOM PS3.3, C.11.1 (modality transform), C.11.2 (values of interest), C.7.6.3 (pixels); for files with
functional groups C.7.6.16. What identifies a patient leaves this module in one field only, `DicomImage.patient`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from penjing_datasets.errors import DatasetError

SUFFIXES = (".dcm", ".dicom", ".ima")
_INSTALL = "pip install python-gdcm, or pylibjpeg-openjpeg for JPEG 2000 alone"


@dataclass(frozen=True, kw_only=True)
class DicomImage:
    """The frames of a file, and what is known of them."""

    frames: list[np.ndarray]
    """Each float32 of shape (height, width, 1) or (height, width, 3), from 0 for black to 1 for white."""
    patient: str | None
    """PatientID as it stands in the file; None where it is empty. It identifies a person: hash it before keeping it."""
    instance: str
    """SOPInstanceUID."""
    sex: str
    """PatientSex: 'M', 'F', 'O', or '' where it is not said."""
    manufacturer: str
    modality: str
    assumed: tuple[str, ...]
    """What the file does not say and was assumed, a few words each."""


def is_dicom(path: Path) -> bool:
    """Whether a file has the DICOM preamble; its name does not matter."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_dicom(source: Path | bytes, name: str = "") -> DicomImage:
    """Read a file.

    Stored values go through rescale slope and intercept (or the modality table), then through the first window or table
    of interest; without one, the darkest and brightest value become 0 and 1. MONOCHROME1 is turned round, so that 0 is
    always black; palettes and YBR become RGB.

    Args:
        source: A file, or its content.
        name: What to call it in messages; these name no patient.

    Raises:
        DatasetError: pydicom is not installed, the file is no DICOM, has no pixels, is cut off, or is compressed in a
            way that no installed decoder knows.
    """
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ImportError as error:
        raise DatasetError("DICOM files need pydicom", why=str(error), hint="pip install pydicom") from error
    where = name or str(source)
    try:
        dataset = pydicom.dcmread(io.BytesIO(source) if isinstance(source, bytes) else source)
        dataset.decode()
    except InvalidDicomError as error:
        raise DatasetError("this is no DICOM file", where=where, why="the mark DICM is missing at byte 128") from error
    except FileNotFoundError as error:
        raise DatasetError("there is no such file", where=where) from error
    except Exception as error:  # pydicom raises whatever its parsing stumbles on
        raise DatasetError("the DICOM file cannot be read", where=where, why=type(error).__name__) from error
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise DatasetError(
            "the DICOM file has no pixels",
            where=where,
            why=f"it is a {_text(dataset, 'Modality') or 'file without modality'}",
            hint="leave reports, structures and waveforms out",
        )
    assumed: list[str] = []
    values = _pixels(dataset, where)
    try:
        frames = _frames(dataset, values, assumed, where)
    except DatasetError:
        raise
    except Exception as error:  # tables that are missing, empty or of another length
        raise DatasetError(
            "the DICOM file does not say how its pixels are shown",
            where=where,
            why=f"{type(error).__name__} in its palette, modality or window tables",
        ) from error
    return DicomImage(
        frames=frames,
        patient=_text(dataset, "PatientID") or None,
        instance=_text(dataset, "SOPInstanceUID"),
        sex=_text(dataset, "PatientSex"),
        manufacturer=_text(dataset, "Manufacturer"),
        modality=_text(dataset, "Modality"),
        assumed=tuple(assumed),
    )


def _pixels(dataset: Any, where: str) -> np.ndarray:
    """Stored values of shape (frames, rows, columns[, 3])."""
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is None:
        raise DatasetError(
            "the DICOM file does not say how its pixels are stored", where=where, why="no transfer syntax"
        )
    try:
        values = dataset.pixel_array
    except Exception as error:
        text = str(error)
        if syntax.is_compressed and ("plugin" in text.lower() or "dependencies" in text.lower()):
            raise DatasetError(
                "no decoder for this compression is installed", where=where, why=syntax.name, hint=_INSTALL
            ) from error
        raise DatasetError(
            "the pixels cannot be read", where=where, why=text.splitlines()[0][:200] if text else type(error).__name__
        ) from error
    frames = int(getattr(dataset, "NumberOfFrames", 1) or 1)
    return values if frames > 1 else values[None]


def _frames(dataset: Any, values: np.ndarray, assumed: list[str], where: str) -> list[np.ndarray]:
    photometric = _text(dataset, "PhotometricInterpretation")
    if not photometric:
        assumed.append("no photometric interpretation: taken as MONOCHROME2")
    if photometric == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        coloured = np.asarray(apply_color_lut(values, dataset))[..., :3]
        return [_scaled_integers(frame, coloured.dtype) for frame in coloured]
    if values.ndim == 4:
        # YBR comes out of pixel_array as RGB.
        top = np.dtype(np.uint16) if int(dataset.BitsStored) > 8 else np.dtype(np.uint8)
        return [_scaled_integers(frame[..., :3], top) for frame in values]
    made = []
    for number, frame in enumerate(values):
        shown = _of_interest(dataset, _modality_values(dataset, frame, number), number, assumed)
        if not np.isfinite(shown).all():
            raise DatasetError("the pixels hold NaN or infinite values", where=where)
        made.append((1 - shown if photometric == "MONOCHROME1" else shown).astype(np.float32)[..., None])
    return made


def _scaled_integers(frame: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    return (np.asarray(frame, np.float32) / np.float32(np.iinfo(dtype).max)).astype(np.float32)


def _modality_values(dataset: Any, frame: np.ndarray, number: int) -> np.ndarray:
    if "ModalityLUTSequence" in dataset:
        from pydicom.pixels import apply_modality_lut

        return np.asarray(apply_modality_lut(frame, dataset), np.float64)
    slope = _number(dataset, "PixelValueTransformationSequence", "RescaleSlope", number)
    intercept = _number(dataset, "PixelValueTransformationSequence", "RescaleIntercept", number)
    values = np.asarray(frame, np.float64)
    padding = getattr(dataset, "PixelPaddingValue", None)
    result = values * (1.0 if slope is None else slope) + (0.0 if intercept is None else intercept)
    if padding is not None and (values == padding).any() and not (values == padding).all():
        # Padding is no measurement: it must not stretch the range, and it is shown as the lowest value that is one.
        result[values == padding] = result[values != padding].min()
    return result


def _of_interest(dataset: Any, values: np.ndarray, number: int, assumed: list[str]) -> np.ndarray:
    """Modality values as shown, 0 to 1, before MONOCHROME1 is turned round."""
    if "VOILUTSequence" in dataset:
        from pydicom.pixels import apply_voi

        table = np.asarray(apply_voi(np.rint(values).astype(np.int64), dataset, index=0), np.float64)
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return np.clip(table / (2.0**bits - 1), 0, 1)
    center = _number(dataset, "FrameVOILUTSequence", "WindowCenter", number)
    width = _number(dataset, "FrameVOILUTSequence", "WindowWidth", number)
    function = str(_attribute(dataset, "FrameVOILUTSequence", "VOILUTFunction", number) or "LINEAR").upper()
    if center is not None and width is not None and width >= (1 if function == "LINEAR" else 1e-12):
        return windowed(values, center, width, function)
    if not any(text.startswith("no window") for text in assumed):
        assumed.append("no window: from the darkest value to the brightest")
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def windowed(values: np.ndarray, center: float, width: float, function: str = "LINEAR") -> np.ndarray:
    """Values through a window, 0 to 1: PS3.3 C.11.2.1.2 (LINEAR, LINEAR_EXACT) and C.11.2.1.3 (SIGMOID)."""
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1)
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _number(dataset: Any, group: str, keyword: str, frame: int) -> float | None:
    value = _attribute(dataset, group, keyword, frame)
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None


def _attribute(dataset: Any, group: str, keyword: str, frame: int) -> Any:
    """An attribute of a frame: from its functional groups, the shared ones, or the file itself; the first of
    several."""
    places = []
    per_frame = getattr(dataset, "PerFrameFunctionalGroupsSequence", None)
    if per_frame and frame < len(per_frame):
        places.append(per_frame[frame])
    places += list(getattr(dataset, "SharedFunctionalGroupsSequence", None) or [])
    for place in places:
        sequence = getattr(place, group, None)
        if sequence and keyword in sequence[0]:
            return _first(getattr(sequence[0], keyword))
    return _first(getattr(dataset, keyword, None))


def _first(value: Any) -> Any:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        return value
    return value[0] if len(value) else None


def _text(dataset: Any, keyword: str) -> str:
    return str(getattr(dataset, keyword, "") or "").strip()
