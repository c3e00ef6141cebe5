"""Hooks of mkdocs: the site's first page is the README, and pages that lie beside docs/ are pages of the site.

Links are written for readers of the files; on the site everything in docs/ lies one folder higher.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
BESIDE = ["CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md", "examples/first_ladder.ipynb"]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of docs/, and those beside it that its pages link to."""
    files.append(File.generated(config, "index.md", content=(ROOT / "README.md").read_text(encoding="utf-8")))
    reports = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("results/**/*.md"))]
    for path in [*BESIDE, *reports]:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page with its links as they are on the site."""
    if page.file.src_uri.startswith("results/"):
        return markdown.replace("](../docs/", "](../")
    return markdown.replace("](../README.md", "](index.md").replace("](../", "](").replace("](docs/", "](")
