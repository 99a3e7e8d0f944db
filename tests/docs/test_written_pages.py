"""How the tests read pages, and that what a page says of an output is what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from written_pages import CHECKOUT, blocks, without_code

START = CHECKOUT / "docs/start.md"

PAGE = """# Title

```python title="src/a.py" hl_lines="1"
first = 1
```

- in a list:

    ```python
    second = 2
    ```

```text
# no heading
```

```toml title="b.toml"
third = 3
```

````markdown
```python
fourth = 4
```
````
"""


def test_blocks_are_found_with_a_title_and_without_and_their_text_is_no_prose(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    found = [(block.line, block.title, block.text) for block in blocks("python", [page])]
    assert found == [(3, "src/a.py", "first = 1\n"), (9, "", "second = 2\n")]
    assert [block.title for block in blocks("toml", [page])] == ["b.toml"]
    assert [block.language for block in blocks(None, [page])] == ["python", "python", "text", "toml", "markdown"]
    assert re.findall(r"first|second|third|fourth|# no", without_code(page)) == []


@pytest.mark.parametrize("name", ["start.md", "report.md"])
def test_figures_that_the_text_names_stand_in_the_output_of_the_same_runs(name: str) -> None:
    printed = "".join(block.text for block in blocks("console", [START]))
    text = without_code(CHECKOUT / "docs" / name)
    figures = re.findall(r"[-+]?\d\.\d{4}|\d{1,3}(?:,\d{3})+ B|\d+\.\d\d%|\d+ output steps|\d+ test examples", text)
    assert figures
    assert [figure for figure in figures if figure not in printed] == []


def test_the_readme_shows_the_run_that_start_here_shows() -> None:
    printed = "".join(block.text for block in blocks("console", [START]))
    (shown,) = [block.text for block in blocks("", [CHECKOUT / "README.md"]) if "SYNTHETIC data" in block.text]
    figures = re.findall(r"[-+]?\d[\d,]*(?:\.\d+)?", shown)
    assert len(figures) > 20
    assert [figure for figure in figures if figure not in printed] == []
