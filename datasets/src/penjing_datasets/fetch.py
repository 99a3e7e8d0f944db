"""Download data sets: into a cache, checked by sha256, whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import platformdirs
import pooch
import requests

from penjing_datasets.catalogue import DatasetInfo
from penjing_datasets.errors import DatasetError

CACHE_VARIABLE = "PENJING_CACHE"


def cache_folder() -> Path:
    """The folder of downloads: below PENJING_CACHE, or the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    root = Path(given) if given else platformdirs.user_cache_path("penjing", appauthor=False)
    return root / "datasets"


def fetch(info: DatasetInfo, *, folder: Path | None = None, progress: bool = False) -> Path:
    """The data set's file; downloaded unless it is there already with the right hash.

    Args:
        info: An entry of the catalogue.
        folder: Where to keep it; None takes the cache.
        progress: Show a bar on stderr.

    Raises:
        DatasetError: There is no network, the server refuses, the disk is full, or the file has another hash.
    """
    target = folder or cache_folder()
    name = info.url.rsplit("/", 1)[-1]
    by_hand = f"or put the file at {target / name} by hand"
    try:
        target.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target).free
        if free < info.size_bytes and not (target / name).is_file():
            raise DatasetError(
                f"'{info.name}' needs {info.size_bytes:,} B, and {free:,} B are free",
                where=str(target),
                hint=f"give another folder, or set {CACHE_VARIABLE}",
            )
        path = pooch.retrieve(
            url=info.url,
            known_hash=f"sha256:{info.sha256}",
            fname=name,
            path=target,
            downloader=pooch.HTTPDownloader(progressbar=progress, timeout=60),
        )
    except ValueError as error:
        raise DatasetError(
            f"'{info.name}' came with another sha256 than the catalogue says",
            where=info.url,
            why=str(error).splitlines()[0],
            hint="try again; if it stays so, the publisher has changed the file: do not use it",
        ) from error
    except requests.RequestException as error:
        raise DatasetError(
            f"'{info.name}' cannot be downloaded",
            where=info.url,
            why=f"{type(error).__name__}: {error}",
            hint=f"check the network, {by_hand}",
        ) from error
    except OSError as error:
        raise DatasetError(
            f"'{info.name}' cannot be kept",
            where=str(target),
            why=f"{type(error).__name__}: {error}",
            hint=f"give another folder, or set {CACHE_VARIABLE}",
        ) from error
    return Path(path)
