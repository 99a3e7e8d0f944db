"""What mkdocs asks while it builds the site: a page for each plugin in the tree, the project's own pages, pictures.

The READMEs are not copied into docs: they are read when the site is built, and their links are turned to the site's.
"""

from __future__ import annotations

import html
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROJECT_PAGES = {"CONTRIBUTING.md": "project/contributing.md", "CHANGELOG.md": "project/changelog.md"}
"""Pages of the project's root and where they stand on the site."""

LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
PICTURE = re.compile(r'<p><img alt="([^"]*)" src="(?:\.\./)*images/concepts/([a-z-]+)\.svg" ?/?></p>')


@dataclass(frozen=True)
class PluginPage:
    """A plugin that lies in the tree, and its page."""

    folder: Path
    distribution: str
    description: str
    is_domain: bool
    command: str

    @property
    def page(self) -> str:
        return f"domains/{self.command}.md"


def plugin_pages() -> list[PluginPage]:
    """Every distribution under plugins/ and examples/ with an entry point of the group `penjing`, domains first."""
    found = []
    for project_file in [*ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("examples/*/pyproject.toml")]:
        project = tomllib.loads(project_file.read_text(encoding="utf-8")).get("project", {})
        points = project.get("entry-points", {}).get("penjing", {})
        if not points or not (project_file.parent / "README.md").is_file():
            continue
        found.append(
            PluginPage(
                folder=project_file.parent,
                distribution=project["name"],
                description=project.get("description", ""),
                is_domain="penjing-domain" in project.get("keywords", ()),
                command=next(iter(points)),
            )
        )
    return sorted(found, key=lambda plugin: (not plugin.is_domain, plugin.command))


def on_config(config: Any) -> Any:
    """Put the generated pages into the navigation."""
    plugins = [{plugin.command: plugin.page} for plugin in plugin_pages()]
    _section(config.nav, "Domains").extend(plugins)
    if (ROOT / "docs/reference/checks.md").is_file():
        _section(config.nav, "Plugins").append({"Conformance checks": "reference/checks.md"})
    _section(config.nav, "Project").extend(
        [{"Contributing": PROJECT_PAGES["CONTRIBUTING.md"]}, {"Changes": PROJECT_PAGES["CHANGELOG.md"]}]
    )
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages themselves."""
    from mkdocs.structure.files import File

    for plugin in plugin_pages():
        readme = plugin.folder / "README.md"
        files.append(File.generated(config, plugin.page, content=_for_the_site(readme, plugin.page)))
    for name, page in PROJECT_PAGES.items():
        files.append(File.generated(config, page, content=_for_the_site(ROOT / name, page)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The table of plugins, and links that lead out of docs."""
    if page.file.generated_by:
        return markdown
    source = ROOT / "docs" / page.file.src_uri
    return _with_site_links(markdown.replace("<!-- plugin pages -->", plugin_table()), source, page.file.src_uri)


def on_page_content(content: str, **_: Any) -> str:
    """Draw the concepts' pictures in the page itself, so that they follow the theme that the reader chose."""
    return PICTURE.sub(_drawn, content)


def plugin_table() -> str:
    """Domains and other plugins of the tree."""
    rows = ["| plugin | what | install |", "|---|---|---|"]
    for plugin in plugin_pages():
        name = Path(plugin.page).name
        rows.append(f"| [{plugin.command}]({name}) | {plugin.description} | `pip install {plugin.distribution}` |")
    return "\n".join(rows)


def _section(nav: list[dict[str, Any]], title: str) -> list[Any]:
    return next(entry[title] for entry in nav if title in entry)


def _for_the_site(source: Path, page: str) -> str:
    return _with_site_links(source.read_text(encoding="utf-8"), source, page)


def _with_site_links(markdown: str, source: Path, page: str) -> str:
    """Links between files of the project become links between pages; those to files that are no page become text."""
    pages = {(ROOT / "docs" / path).resolve(): path for path in _pages_in_docs()}
    pages |= {(plugin.folder / "README.md").resolve(): plugin.page for plugin in plugin_pages()}
    pages |= {(ROOT / name).resolve(): target for name, target in PROJECT_PAGES.items()}
    pages |= {(ROOT / "README.md").resolve(): "index.md"}

    def turned(match: re.Match[str]) -> str:
        if "://" in match[2] or match[2].startswith("mailto:"):
            return match[0]
        target = (source.parent / match[2]).resolve()
        if target not in pages:
            return match[0]
        anchor = match[3] if target.name != "README.md" else ")"
        return match[1] + os.path.relpath(pages[target], Path(page).parent) + anchor

    return LINK.sub(turned, markdown)


def _pages_in_docs() -> list[str]:
    docs = ROOT / "docs"
    return [path.relative_to(docs).as_posix() for path in docs.rglob("*") if path.is_file() and path.suffix != ".py"]


def _drawn(match: re.Match[str]) -> str:
    drawing = (ROOT / "docs/images/concepts" / f"{match[2]}.svg").read_text(encoding="utf-8")
    text = html.escape(html.unescape(match[1]))
    return f'<figure class="penjing-figure" role="img" aria-label="{text}">{drawing}</figure>'
