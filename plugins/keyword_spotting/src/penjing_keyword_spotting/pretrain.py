"""Make the bundle that the wheel carries: `python -m penjing_keyword_spotting.pretrain --data FOLDER --output DIR`.

Two runs of the recipe `pretrained`, each resumed where it was interrupted:

- `DIR/measured` on the collection's own split. What the bundle says of its accuracy is measured here, on speakers that
  neither training nor any choice has seen.
- `DIR/final` on nearly all clips, by the same recipe, for as many epochs: its file is shipped.

`DIR/bundle` is the second run's bundle with the first run's figures, both named as what they are, and a NOTICE.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penjing.errors import CheckFailedError, PenjingError, UsageError
from penjing_keyword_spotting import DOMAIN

RECIPE = "pretrained"
REFIT_SHARE = 0.95
"""Of the speakers of validation and test that join the training part of the shipped file."""
BUDGET = "flash=24KB,arena=24KB"
MEASURED_DROP, FINAL_DROP = 0.02, 0.2
"""What of the accuracy compression may cost; the second run has too few test clips left to tell a small loss."""
NOTICE = """\
Trained on a part of Speech Commands, version 0.02
    Pete Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", arXiv:1804.03209, 2018
    Copyright 2017, 2018 Google LLC and the contributors of the recordings
    Licence: Creative Commons Attribution 4.0 International, https://creativecommons.org/licenses/by/4.0/
Changes: {count:,} clips of the 12-class test set were taken; they were shifted, played slower and faster, made louder
and softer, mixed with the set's own background recordings and with each other, turned into log-mel features, and a
network was trained on these. The bundle holds no recordings.
Nothing here is endorsed by the data's authors. The data come as they are, without warranty.

The network (model.tflite) and its description (bundle.json) are a part of penjing-keyword-spotting, Apache-2.0.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m penjing_keyword_spotting.pretrain", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Speech Commands, folder or archive, 12 classes")
    parser.add_argument("--output", type=Path, required=True, help="folder for both runs and the bundle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    given = parser.parse_args(arguments)
    try:
        measured = run(given.data, given.output / "measured", given.seed, MEASURED_DROP, given.set)
        refit = [*given.set, f"data.refit_share={REFIT_SHARE}"]
        final = run(given.data, given.output / "final", given.seed, FINAL_DROP, refit)
        pack(measured, final, given.output / "bundle")
        penjing("verify", str(given.output / "bundle"))
    except PenjingError as error:
        print(error, file=sys.stderr)
        return 1 if isinstance(error, CheckFailedError) else 2
    return 0


def run(data: Path, output: Path, seed: int, drop: float, settings: Sequence[str]) -> Path:
    """One run of the recipe, or what is left of it.

    Raises:
        CheckFailedError: The run failed, or its result is outside the budget.
    """
    changes = [part for setting in settings for part in ("--set", setting)]
    places = ["--data", str(data), "--output", str(output), "--seed", str(seed)]
    budget = f"{BUDGET},drop={drop}"
    penjing(DOMAIN, "run", "--recipe", RECIPE, *places, "--budget", budget, *changes, "--resume")
    return output


def penjing(*arguments: str) -> None:
    """Penjing's own command, in a process of its own: each run then starts from the same state."""
    done = subprocess.run([sys.executable, "-m", "penjing", *arguments], check=False)
    if done.returncode:
        raise CheckFailedError(
            f"`penjing {' '.join(arguments[:2])}` ended with exit code {done.returncode}",
            why="its own output, above, says why",
            hint="mend that and start the same command again: what is done is not done twice",
        )


def pack(measured: Path, final: Path, folder: Path) -> None:
    """The bundle to ship, whole or not at all.

    Args:
        measured: Run folder of the split run, whose figures the bundle gets.
        final: Run folder whose file is shipped.
        folder: A new folder, or one with an older bundle.

    Raises:
        UsageError: The two runs are not of the same recipe, labels and data.
    """
    figures = _read(measured / "bundle/bundle.json")
    document = _read(final / "bundle/bundle.json")
    for what, key in (("recipe", ("name",)), ("labels", ("labels",)), ("data", ("lineage", "data_sha256"))):
        if _at(figures, key) != _at(document, key):
            raise UsageError(
                f"the two runs have different {what}", where=str(final), hint="run both with the same options"
            )
    about = _read(measured / "metrics.json")["data"]
    clips = _read(final / "metrics.json")["data"]
    count = sum(about[part] for part in ("train", "validation", "test"))
    whose = f"of the same recipe trained on {about['train']:,} clips"
    document["metrics"] = {
        name: {**entry, "method": "; ".join(filter(None, (entry["method"], whose)))}
        for name, entry in figures["metrics"].items()
    }
    # What compression cost was measured by the first run; what the file takes by the second.
    document["budget"] = [
        *(entry for entry in document["budget"] if entry["limit"] != "drop"),
        *({**entry, "note": whose} for entry in figures["budget"] if entry["limit"] == "drop"),
    ]
    document["lineage"]["data_source"] += (
        f", {clips['train']:,} of {count:,} clips. The metrics are of the same recipe and seed trained on the "
        f"{about['train']:,} clips of the training part, and measured on the {about['test']:,} of the test part, "
        "whose speakers it had not heard"
    )
    notice = NOTICE.format(count=count).encode()
    document["files"]["NOTICE.txt"] = {"size": len(notice), "sha256": hashlib.sha256(notice).hexdigest()}
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    shutil.copyfile(final / "bundle/model.tflite", new / "model.tflite")
    (new / "NOTICE.txt").write_bytes(notice)
    (new / "bundle.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if (folder / "bundle.json").is_file():
        shutil.rmtree(folder)
    new.rename(folder)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _at(document: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        document = document[key]
    return document


if __name__ == "__main__":
    sys.exit(main())
