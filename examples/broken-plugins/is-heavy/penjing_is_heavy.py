"""Broken on purpose: imports what takes long, for everybody who asks for help."""

import h5py

from penjing import hookimpl
from penjing.contract import Target


@hookimpl
def penjing_targets():
    yield Target(name="heavy", summary=f"with HDF5 {h5py.__version__}", flash_bytes=1, ram_bytes=1)
