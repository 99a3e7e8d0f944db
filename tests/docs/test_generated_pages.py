"""Pages that follow from the code are not older than it, and leave nothing out."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Mapping
from pathlib import Path

import pytest

from penjing import hookspecs
from penjing.host import PluginHost
from penjing.host.loading import HOOKS
from written_pages import CHECKOUT, blocks

HOOKS_PAGE = CHECKOUT / "docs/reference/hooks.md"


def test_generated_pages_are_what_the_code_says_now() -> None:
    from generated_pages import generated_pages

    stale = [
        str(path.relative_to(CHECKOUT))
        for path, text in generated_pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run: python docs/generators"


def test_the_table_of_plugins_stands_in_readme_and_documentation() -> None:
    from generated_pages import generated_pages

    texts = generated_pages()
    for page in ("README.md", "docs/plugins.md"):
        (table,) = re.findall(r"<!-- generated: plugins -->\n(.*?)<!-- end -->", texts[CHECKOUT / page], re.DOTALL)
        assert table.count("| `pip install penjing-") == len(list(CHECKOUT.glob("plugins/*/pyproject.toml")))


def test_the_command_says_what_is_old_and_writes_it(tmp_path: Path) -> None:
    for folder in ("docs", "plugins"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.png"))
    old = (CHECKOUT / "README.md").read_text(encoding="utf-8").replace("`keyword-spotting` |", "`word-spotting` |")
    (tmp_path / "README.md").write_text(old)
    command = [sys.executable, str(tmp_path / "docs/generators")]
    for arguments, code, said in (
        (["--check"], 1, "README.md is old: python docs/generators\n"),
        ([], 0, "README.md written\n"),
        (["--check"], 0, ""),
    ):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (code, said), done.stderr
    assert (tmp_path / "README.md").read_bytes() == (CHECKOUT / "README.md").read_bytes()


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_on_the_page_with_every_argument(name: str) -> None:
    text = HOOKS_PAGE.read_text(encoding="utf-8")
    assert f"\n## {name}\n" in text
    section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
    for argument in inspect.signature(HOOKS[name]).parameters:
        assert f"| `{argument}` |" in section
    assert "```python" in section


@pytest.mark.parametrize("name", HOOKS)
def test_a_hooks_example_is_a_plugin_that_the_host_takes(name: str) -> None:
    (code,) = [block.text for block in blocks("python", [HOOKS_PAGE]) if f"def {name}(" in block.text]
    module = types.ModuleType("example")
    exec(code, module.__dict__)
    host = PluginHost.from_modules({"example": module})
    (status,) = [status for status in host.plugins if status.source.entry_point == "example"]
    assert status.problems == () and status.status == "ok"
    offered = getattr(host, name.removeprefix(f"{hookspecs.PROJECT}_"), None)
    if isinstance(offered, Mapping):
        assert any(found.source.entry_point == "example" for found in offered.values())


def test_every_class_of_the_contract_is_on_the_page_with_every_field() -> None:
    import source_docs

    from penjing import contract

    sections = (CHECKOUT / "docs/reference/contract.md").read_text(encoding="utf-8").split("\n## ")
    text = {section.partition("\n")[0]: section for section in sections}
    for kind in source_docs.classes(contract):
        for field in getattr(kind, "__dataclass_fields__", ()):
            assert f"| `{field}` |" in text[kind.__name__]


def test_a_type_with_a_bar_is_shown_without_a_backslash() -> None:
    """Within backticks the site would show it; without it the cell would end elsewhere."""
    for page in (CHECKOUT / "docs/reference").glob("*.md"):
        assert not re.search(r"`[^`\n]*\\\|[^`\n]*`", page.read_text(encoding="utf-8")), page.name
    assert "<code>Recipe &#124; None</code>" in (CHECKOUT / "docs/reference/hooks.md").read_text(encoding="utf-8")


def test_the_meaning_of_a_field_is_the_docstring_below_it() -> None:
    import source_docs

    from penjing.contract import Estimate

    fields = {field.name: field for field in source_docs.fields(Estimate)}
    assert fields["n"].text == "What was counted: examples, days."
    assert fields["value"].text == "" and fields["value"].kind == "float" and fields["value"].default == ""


def test_every_setting_of_every_technique_is_on_the_page() -> None:
    from penjing.compression.catalogue import TECHNIQUES

    host = PluginHost.from_modules({})
    sections = (CHECKOUT / "docs/reference/settings.md").read_text(encoding="utf-8").split("\n## ")
    text = {section.partition("\n")[0]: section for section in sections}
    for technique in TECHNIQUES:
        settings = host.resolve(technique.settings, host.techniques[technique.name].source)
        for name in settings.model_fields:
            whose = text[technique.name] if f"| `{name}` |" in text[technique.name] else text["Training"]
            assert f"| `{name}` |" in whose, (technique.name, name)


def test_the_schema_takes_a_real_manifest_and_refuses_a_wrong_one(finished_run: Path) -> None:
    import jsonschema

    schema = json.loads((CHECKOUT / "docs/reference/bundle.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    manifest = json.loads((finished_run / "bundle/bundle.json").read_text(encoding="utf-8"))
    jsonschema.validate(manifest, schema)
    for wrong in (
        {**manifest, "schema_version": 2},
        {**manifest, "unknown": 1},
        {key: value for key, value in manifest.items() if key != "lineage"},
        {**manifest, "files": {"model.tflite": {"size": -1, "sha256": "0" * 64}}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_every_field_of_the_bundle_says_what_it_means() -> None:
    import bundle_schema

    tables = bundle_schema.tables()
    rows = [line for line in tables.splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if row.endswith("|  |")] == []
