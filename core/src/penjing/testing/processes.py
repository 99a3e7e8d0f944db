"""Python processes that find what this one finds: for checks of what an import pulls in, and of what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

WITHOUT_TRAINING = ("tensorflow", "keras", "torch", "jax")
"""What a device does not have."""


def run_python(
    code: str, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run code with the import path of this process."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(env or {})},
    )


def blocking(packages: Sequence[str] = WITHOUT_TRAINING) -> str:
    """Code that makes imports of packages fail as if they were not installed."""
    return (
        "import sys\n"
        "class _Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {tuple(packages)!r}:\n"
        "            raise ModuleNotFoundError(f\"No module named '{name}' (the check leaves it out)\", name=name)\n"
        "sys.meta_path.insert(0, _Blocked())\n"
    )
