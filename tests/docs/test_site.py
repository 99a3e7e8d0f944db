"""The site: links lead to headings, pictures are small and ours, it builds without a warning and needs no network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from importlib.util import find_spec
from pathlib import Path

import pytest

from written_pages import CHECKOUT, PAGES, anchors, without_code

LINK = re.compile(r"\]\(([^)\s]+)\)")
PICTURES = sorted(CHECKOUT.glob("docs/images/concepts/*.svg"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_a_link_to_a_heading_finds_it(page: Path) -> None:
    for target in LINK.findall(without_code(page)):
        path, hash_mark, anchor = target.partition("#")
        if hash_mark and "://" not in target:
            other = (page.parent / path).resolve() if path else page
            assert anchor in anchors(other), target


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_a_picture_is_small_has_a_title_and_takes_nothing_from_elsewhere(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert len(text) < 10_000
    assert re.findall(r"(?:href|src)=|url\(|https?://(?!www\.w3\.org)", text) == []
    assert "prefers-color-scheme" in text


def test_every_concept_has_its_picture() -> None:
    text = (CHECKOUT / "docs/concepts.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[.+\]\(images/concepts/([a-z-]+)\.svg\)", text)
    assert sorted(shown) == sorted(picture.stem for picture in PICTURES)
    assert len(shown) == len(re.findall(r"^## ", text, re.MULTILINE))


def test_screenshots_are_below_300_kilobytes() -> None:
    assert all(path.stat().st_size < 300_000 for path in CHECKOUT.glob("docs/**/*.png"))


def test_every_plugin_of_the_tree_has_a_page_that_is_its_readme() -> None:
    import site_hooks

    pages = {plugin.folder.name: plugin for plugin in site_hooks.plugin_pages()}
    for project in CHECKOUT.glob("plugins/*/pyproject.toml"):
        plugin = pages[project.parent.name]
        points = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["entry-points"]["penjing"]
        assert plugin.command in points
        assert f"]({plugin.command}.md)" in site_hooks.plugin_table()
        content = site_hooks._for_the_site(project.parent / "README.md", plugin.page)
        assert content.startswith(f"# {plugin.distribution}")


def test_links_of_a_readme_become_links_of_the_site() -> None:
    import site_hooks

    readme = CHECKOUT / "plugins/fraud_detection/README.md"
    for link, on_the_site in (
        ("../../docs/measurements.md#the-arena", "../measurements.md#the-arena"),
        ("../../CONTRIBUTING.md", "../project/contributing.md"),
        ("../../README.md", "../index.md"),
        ("../keyword_spotting/README.md", "keyword-spotting.md"),
        ("https://example.org/x.md", "https://example.org/x.md"),
    ):
        turned = site_hooks._with_site_links(f"see [it]({link}).", readme, "domains/fraud-detection.md")
        assert turned == f"see [it]({on_the_site})."


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("mkdocs") is None or find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed here; `make docs` installs it and builds the site")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=CHECKOUT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_the_site_builds_without_a_warning_and_has_every_page(site: Path) -> None:
    for page in PAGES:
        relative = page.relative_to(CHECKOUT / "docs")
        assert (site / relative.with_suffix(".html")).is_file()
    assert not list(site.rglob("*.py"))


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loading = re.compile(r"<(?:link|script|img|iframe)[^>]*(?:href|src)=\"?(https?://[^\" >]+)")
    for page in site.rglob("*.html"):
        assert loading.findall(page.read_text(encoding="utf-8")) == [], page.name


def test_search_works_from_a_folder(site: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium here")
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", f"--user-data-dir={tmp_path}", "--virtual-time-budget=8000"),
            *("--dump-dom", f"{(site / 'index.html').as_uri()}?q=arena"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert re.search(r"\d+ matching documents", done.stdout)
