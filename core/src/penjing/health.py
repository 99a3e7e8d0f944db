"""The core's lines of `penjing doctor`. Nothing heavy is imported: whether a package is there is asked of metadata."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path

from penjing.bundle.atomic import write_bytes_atomically
from penjing.cache import VARIABLE, cache_folder
from penjing.contract import HealthResult
from penjing.errors import RunFolderError

COMPRESS_PACKAGES = ("tensorflow", "keras", "scikit-learn", "pandas", "scipy", "h5py", "jinja2")


def check_cache() -> HealthResult:
    """Whether the cache folder can be written."""
    folder = cache_folder()
    probe = folder / ".doctor"
    try:
        write_bytes_atomically(probe, b"penjing")
        probe.unlink()
    except (RunFolderError, OSError) as error:
        return HealthResult(
            ok=False,
            message=f"{folder} cannot be written: {error}".splitlines()[0],
            remedy=f"make it writable, or set {VARIABLE} to a folder that is",
        )
    return HealthResult(ok=True, message=str(folder))


def check_compress() -> HealthResult:
    """Whether the packages of the extra `compress` are installed."""
    missing = [name for name in COMPRESS_PACKAGES if _version(name) is None]
    if missing:
        return HealthResult(
            ok=False,
            message="missing: " + ", ".join(missing),
            remedy="pip install 'penjing[compress]' (running finished bundles works without)",
        )
    return HealthResult(ok=True, message=f"TensorFlow {_version('tensorflow')}, Keras {_version('keras')}")


def check_microcontroller() -> HealthResult:
    """Whether TensorFlow Lite Micro is installed."""
    version = _version("tflite-micro")
    if version is None:
        return HealthResult(
            ok=False,
            message="tflite-micro is missing: arena sizes cannot be measured",
            remedy="pip install 'penjing[microcontroller]' (wheels exist for Linux on x86-64)",
        )
    return HealthResult(ok=True, message=f"tflite-micro {version}")


def check_bytecode() -> HealthResult:
    """Whether TensorFlow's bytecode is compiled: without it every import takes several times as long."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        return HealthResult(ok=True, message="no TensorFlow, nothing to compile")
    package = Path(spec.origin).parent
    sample = package / "python" / "ops" / "math_ops.py"
    cached = Path(importlib.util.cache_from_source(str(sample)))
    if sample.is_file() and not cached.is_file():
        return HealthResult(
            ok=False,
            message="TensorFlow's bytecode is not compiled, so each start is slow",
            remedy=f"python -m compileall -q {package}",
        )
    return HealthResult(ok=True, message="compiled")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
