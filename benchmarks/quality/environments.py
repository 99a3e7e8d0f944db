"""The peers' virtual environments, one each: their requirements do not fit together, nor with ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = {
    "tfmot": ("tensorflow==2.21.0", "tf-keras==2.21.0", "tensorflow-model-optimization==0.8.1"),
    "ai-edge-quantizer": ("ai-edge-quantizer==0.10.0",),
    # Where an index has a build without CUDA under the same version, pip takes it.
    "torch-pruning": ("torch==2.13.0", "torch-pruning==1.6.0", "numpy==2.4.6"),
}


def python_of(environment: str, folder: Path) -> Path:
    """The interpreter of an environment, which is made where it is not there yet.

    Args:
        environment: A key of `REQUIREMENTS`, or "penjing": the one that runs this.
        folder: Where environments are kept.

    Raises:
        RuntimeError: pip could not install it; its last words.
    """
    if environment == "penjing":
        return Path(sys.executable)
    place, wanted = folder / environment, "\n".join(REQUIREMENTS[environment])
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    done = place / "requirements.txt"
    if done.is_file() and done.read_text() == wanted:
        return python
    print(f"making the environment '{environment}': {', '.join(REQUIREMENTS[environment])}", flush=True)
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place, with_pip=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS[environment]]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode != 0:
        raise RuntimeError(f"the environment '{environment}' cannot be made: {installed.stderr.strip()[-800:]}")
    done.write_text(wanted)
    return python
