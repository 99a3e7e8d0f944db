"""The kit looks at a plugin that is not installed: its source folder or its wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from penjing.errors import UsageError
from penjing.testing.source_tree import visible


def test_a_path_that_is_no_plugin_is_refused_with_what_is_wrong_and_what_was_meant(tmp_path: Path) -> None:
    for folder in ("empty", "around/plugin", "plugin/src/package"):
        (tmp_path / folder).mkdir(parents=True)
    for project in ("around/plugin", "plugin"):
        (tmp_path / project / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "text.whl").write_text("no wheel")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/pyproject.toml").write_text("[project\n")
    for path, said, hint in (
        ("empty", "the folder is no plugin's source", "penjing plugins new NAME"),
        ("around", "it holds no pyproject.toml", f"did you mean {tmp_path / 'around/plugin'}?"),
        ("plugin/src/package", "it holds no pyproject.toml", f"did you mean {tmp_path / 'plugin'}?"),
        ("plugni", "there is no such folder or wheel", f"did you mean '{tmp_path / 'plugin'}'?"),
        ("nowhere/at-all.whl", "there is no such folder or wheel", "penjing plugins list"),
        ("text.whl", "the wheel cannot be read", ""),
        ("plugin/pyproject.toml", "the file is no wheel", f"give the folder: {tmp_path / 'plugin'}"),
        ("plugin", "no name or no entry point of the group 'penjing'", "[project.entry-points.penjing]"),
        ("damaged", "the pyproject.toml cannot be read", ""),
    ):
        with pytest.raises(UsageError) as error, visible(tmp_path / path):
            pass
        assert said in str(error.value) and hint in str(error.value), path
        assert "Errno" not in str(error.value)
