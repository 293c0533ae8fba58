"""What the build of the site adds to the pages in ``docs``: see ``mkdocs.yml``.

- ``<!-- table: NAME -->`` in a page becomes a table that is made from the code or from the records of measurements.
- Pages that lie elsewhere in the repository, the pages of public names and the notebooks become pages of the site.
- Links to files of the repository that are no pages become plain text; a link to what is not there ends the build.
"""

import os
import posixpath
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import flag_tables
import measured
from api_pages import api_pages, room_pages
from notebooks import NotebookError, as_ipynb, as_markdown, read_cells, run_cells
from other_programs import PROGRAMS

DOCS = Path(__file__).resolve().parent.parent
ROOT = DOCS.parent
ELSEWHERE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}  # in the repository -> in the site
TABLES: dict[str, Callable[[], str]] = {
    **{f"commands {program}": partial(flag_tables.commands_table, program) for program in PROGRAMS},
    **{f"options {program}": partial(flag_tables.options_tables, program) for program in PROGRAMS},
    **{f"common {program}": partial(flag_tables.common_table, program) for program in ("relion", "eman2")},
    "gpu": flag_tables.gpu_list,
    "dropped": flag_tables.dropped_table,
    "refused": flag_tables.refused_table,
    **measured.TABLES,
}
MARK = re.compile(r"^<!-- table: ([\w -]+) -->$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
ROLE = re.compile(r":(?:func|class|mod|meth|attr):(?=<code)")
CODE = re.compile(r"^(```.*?^```)$", re.MULTILINE | re.DOTALL)

results: dict[str, str] = {}  # HTML of notebooks, by the mark that holds its place


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not files in ``docs``."""
    for source, address in ELSEWHERE.items():
        files.append(File.generated(config, address, content=(ROOT / source).read_text(encoding="utf-8")))
    for address, text in (api_pages() | room_pages()).items():
        files.append(File.generated(config, address, content=text))
    for source in sorted((DOCS / "notebooks").glob("*.py")):
        cells = read_cells(source)
        try:
            run_cells(cells, str(source.relative_to(ROOT)))
        except NotebookError as error:
            raise PluginError(str(error)) from error
        stem = f"notebooks/{source.stem}"
        links = (
            f'<a href="{source.stem}.ipynb" download>with its results</a>, <a href="{source.name}" download>without</a>'
        )
        head = f"*Download this notebook {links}.*\n\n"
        title, _, rest = as_markdown(cells, results).partition("\n")
        files.append(File.generated(config, f"{stem}.md", content=f"{title}\n\n{head}{rest}"))
        files.append(File.generated(config, f"{stem}.ipynb", content=as_ipynb(cells)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the tables, and mend the links."""
    source = next((name for name, address in ELSEWHERE.items() if address == page.file.src_uri), None)
    folder = "" if source else posixpath.join("docs", posixpath.dirname(page.file.src_uri))
    pieces = CODE.split(MARK.sub(_table, markdown))
    link = partial(_link, folder=folder, page=page, files=files)
    return "".join(piece if piece.startswith("```") else LINK.sub(link, piece) for piece in pieces)


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the results of a notebook into its page; take off what docstrings have for Sphinx."""
    for mark, result in results.items():
        html = html.replace(f'<div id="{mark}"></div>', f'<div class="result">{result}</div>')
    return ROLE.sub("", html)


def _table(mark: re.Match[str]) -> str:
    if mark[1] not in TABLES:
        raise PluginError(f"table: {mark[1]}: expected one of {', '.join(TABLES)}")
    return TABLES[mark[1]]()


def _link(link: re.Match[str], *, folder: str, page: Page, files: Files) -> str:
    """A link as the site needs it. Links are written for readers of the repository."""
    words, target = link[1], link[2]
    path, hash_, anchor = target.partition("#")
    if "://" in target or not path:
        return link[0]
    place = posixpath.normpath(posixpath.join(folder, path))  # in the repository
    address = ELSEWHERE.get(place, place.removeprefix("docs/") if place.startswith("docs/") else "")
    if address.startswith("notebooks/"):
        address = address.removesuffix(".py") + ".md"
    if address and files.get_file_from_path(address):
        here = posixpath.dirname(page.file.src_uri) or "."
        return f"[{words}]({posixpath.relpath(address, here)}{hash_}{anchor})"
    if not os.path.exists(ROOT / place):
        raise PluginError(f"{page.file.src_uri}: there is no {target}")
    return words
