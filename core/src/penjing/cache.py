"""Where penjing keeps what can be made or fetched again: trained teachers, downloads."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "PENJING_CACHE"


def cache_folder() -> Path:
    """The folder that PENJING_CACHE names, or the user's cache folder of the operating system."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    from platformdirs import user_cache_path

    return user_cache_path("penjing", appauthor=False)
