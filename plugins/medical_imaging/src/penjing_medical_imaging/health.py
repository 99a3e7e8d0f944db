"""What `penjing doctor` says of this plugin."""

from __future__ import annotations

from penjing.contract import HealthResult


def dicom_decoders() -> HealthResult:
    """Whether DICOM files can be read, and which compressions."""
    try:
        import pydicom
        from pydicom import uid
        from pydicom.pixels import get_decoder
    except ImportError:
        return HealthResult(ok=False, message="pydicom is not installed", remedy="pip install pydicom")
    kinds = {
        "JPEG": uid.JPEGBaseline8Bit,
        "JPEG lossless": uid.JPEGLosslessSV1,
        "JPEG-LS": uid.JPEGLSLossless,
        "JPEG 2000": uid.JPEG2000Lossless,
        "RLE": uid.RLELossless,
    }
    readable = [name for name, kind in kinds.items() if get_decoder(kind).is_available]
    missing = [name for name in kinds if name not in readable]
    return HealthResult(
        ok=True,
        message=f"pydicom {pydicom.__version__} reads {', '.join(['uncompressed', *readable])}"
        + (f"; no decoder for {', '.join(missing)}" if missing else ""),
        remedy="pip install python-gdcm" if missing else "",
    )
