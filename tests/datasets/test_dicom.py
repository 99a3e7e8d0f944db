"""DICOM files as images: the display transforms of the standard, held against pydicom's own files and numbers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from penjing_datasets.errors import DatasetError

pydicom = pytest.importorskip("pydicom", reason="DICOM needs pydicom")

from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset  # noqa: E402
from pydicom.pixels import apply_modality_lut, apply_voi_lut  # noqa: E402
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless, generate_uid  # noqa: E402

from penjing_datasets.dicom import is_dicom, read_dicom, windowed  # noqa: E402


def dataset(pixels: np.ndarray, **attributes: object) -> FileDataset:
    """A file of grey pixels of shape (rows, columns) or (frames, rows, columns)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    made.PatientName, made.PatientID = "Doe^Jane", "ID-4711"
    made.Rows, made.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        made.NumberOfFrames = len(pixels)
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = pixels.dtype.itemsize * 8
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def content(made: FileDataset) -> bytes:
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


RAMP = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)


def test_slope_intercept_and_window_give_what_pydicom_gives() -> None:
    made = dataset(RAMP, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    shown = read_dicom(content(made)).frames[0][..., 0]
    theirs = apply_voi_lut(apply_modality_lut(RAMP, made), made)
    expected = (theirs - theirs.min()) / (theirs.max() - theirs.min())
    assert np.abs(shown - expected).max() < 1e-5
    assert 0 < np.mean((shown > 0) & (shown < 1)) < 0.2


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        # PS3.3 C.11.2.1.2 with centre 2048 and width 4096, at 0, 2048 and 4095.
        ("LINEAR", [0.0, (2048 - 2047.5) / 4095 + 0.5, 1.0]),
        ("LINEAR_EXACT", [0.0, 0.5, 4095 / 4096]),
        ("SIGMOID", [1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-4 * 2047 / 4096))]),
    ],
)
def test_window_functions_are_those_of_the_standard(function: str, expected: list[float]) -> None:
    found = windowed(np.array([0.0, 2048.0, 4095.0]), 2048, 4096, function)
    assert np.allclose(found, expected, atol=1e-3)


def test_the_first_of_several_windows_counts() -> None:
    one = dataset(RAMP, WindowCenter=100, WindowWidth=50)
    two = dataset(RAMP, WindowCenter=[100, 3000], WindowWidth=[50, 500])
    assert np.array_equal(read_dicom(content(one)).frames[0], read_dicom(content(two)).frames[0])


def test_monochrome1_is_turned_round() -> None:
    plain = read_dicom(content(dataset(RAMP))).frames[0]
    turned = read_dicom(content(dataset(RAMP, PhotometricInterpretation="MONOCHROME1"))).frames[0]
    assert np.allclose(plain + turned, 1, atol=1e-6)


def test_a_table_of_interest_is_applied() -> None:
    table = Dataset()
    table.LUTDescriptor = [4, 0, 8]
    table.LUTData = np.array([255, 0, 128, 64], np.uint16).tobytes()
    made = dataset(np.array([[0, 1], [2, 3]], np.uint16), VOILUTSequence=[table])
    shown = read_dicom(content(made)).frames[0][..., 0]
    assert np.allclose(shown * 255, [[255, 0], [128, 64]], atol=0.01)


def test_each_frame_has_its_own_window() -> None:
    frames = np.stack([RAMP, RAMP])
    groups = []
    for center in (500, 3000):
        window, group = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = center, 200
        group.FrameVOILUTSequence = [window]
        groups.append(group)
    made = dataset(frames, PerFrameFunctionalGroupsSequence=groups)
    first, second = read_dicom(content(made)).frames
    assert (first > 0.5).mean() == pytest.approx((RAMP > 500).mean(), abs=0.01)
    assert (second > 0.5).mean() == pytest.approx((RAMP > 3000).mean(), abs=0.01)


def test_signed_values_and_padding_do_not_stretch_the_range() -> None:
    pixels = np.array([[-2000, 0], [500, 1000]], np.int16)
    made = dataset(pixels)
    made.add_new("PixelPaddingValue", "SS", -2000)
    assert read_dicom(content(made)).frames[0][..., 0].tolist() == [[0, 0], [0.5, 1]]


@pytest.mark.parametrize(
    ("name", "frames", "channels"),
    [
        ("CT_small.dcm", 1, 1),
        ("MR_small_RLE.dcm", 1, 1),
        ("SC_rgb_rle_2frame.dcm", 2, 3),
        ("examples_palette.dcm", 1, 3),
        ("examples_ybr_color.dcm", 30, 3),
        ("MR_small_bigendian.dcm", 1, 1),
    ],
)
def test_files_of_pydicoms_collection_are_read(name: str, frames: int, channels: int) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom brings no {name}")
    read = read_dicom(Path(path))
    assert len(read.frames) == frames
    for frame in read.frames:
        assert frame.shape[2] == channels
        assert frame.dtype == np.float32
        assert frame.min() >= 0 and frame.max() <= 1 and np.ptp(frame) > 0.1


def test_a_compression_without_decoder_says_which_and_what_to_install() -> None:
    from pydicom.pixels import get_decoder

    if get_decoder(JPEGLSLossless).is_available:
        pytest.skip("a decoder for JPEG-LS is installed")
    path = get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False)
    with pytest.raises(DatasetError, match="no decoder") as caught:
        read_dicom(Path(str(path)))
    assert "JPEG-LS" in str(caught.value.why)
    assert "pip install" in str(caught.value.hint)


def test_a_report_has_no_pixels() -> None:
    made = dataset(RAMP, Modality="SR")
    del made.PixelData
    with pytest.raises(DatasetError, match="no pixels") as caught:
        read_dicom(content(made))
    assert "SR" in str(caught.value.why)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: whole[: len(whole) - 300], "cannot be read"),
        (lambda whole: b"plain text", "no DICOM file"),
        (lambda whole: b"", "no DICOM file"),
    ],
)
def test_damage_is_an_error_that_names_no_patient(damage: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        read_dicom(damage(content(dataset(RAMP))), "file 3")  # type: ignore[operator]
    assert "Doe" not in str(caught.value) and "4711" not in str(caught.value)


def test_a_palette_without_its_table_is_an_error_that_names_no_patient() -> None:
    made = dataset(np.zeros((4, 4), np.uint8), PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(DatasetError, match="does not say how its pixels are shown") as caught:
        read_dicom(content(made), "file 3")
    assert "Doe" not in str(caught.value) and "4711" not in str(caught.value)


def test_a_dicom_file_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "IM0001").write_bytes(content(dataset(RAMP)))
    (tmp_path / "x.dcm").write_text("text")
    assert is_dicom(tmp_path / "IM0001")
    assert not is_dicom(tmp_path / "x.dcm")
