"""What mkdocs does beside rendering docs/: files that pages link to come along, notebooks become pages.

On the site they lie below `repository/`, and links lead there; a folder becomes a list of its files.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = "repository"
LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=(?:#[^)\s]*)?\))")
LEFT_OUT = {"__pycache__"}


def place(path: str) -> str:
    """Where a file or folder of the repository lies on the site, as a source of mkdocs."""
    inside = path.removeprefix("docs/") if path.startswith("docs/") else f"{ELSEWHERE}/{path}"
    if (ROOT / path).is_dir():
        return f"{inside}/index.md"
    return re.sub(r"\.ipynb$", ".md", inside)


def origin(uri: str) -> str:
    """The file of the repository that became a source of the site."""
    path = uri.removeprefix(f"{ELSEWHERE}/") if uri.startswith(f"{ELSEWHERE}/") else f"docs/{uri}"
    if (ROOT / path).exists():
        return path
    notebook = re.sub(r"\.md$", ".ipynb", path)
    return notebook if (ROOT / notebook).exists() else posixpath.dirname(path)


def targets(text: str, path: str) -> Iterator[str]:
    """The files and folders of the repository that a text of `path` links to."""
    folder = path if (ROOT / path).is_dir() else posixpath.dirname(path)
    for link in LINK.findall(text):
        target = posixpath.normpath(posixpath.join(folder, link))
        if not target.startswith("..") and (ROOT / target).exists():
            yield target


def text_of(path: str) -> str:
    """Markdown of a page, a notebook or a folder; nothing of other files."""
    found = ROOT / path
    if found.is_dir():
        inside = sorted(one for one in found.rglob("*") if one.is_file() and not LEFT_OUT & set(one.parts))
        names = [one.relative_to(found).as_posix() for one in inside]
        return f"# {path}\n\n" + "".join(f"- [{name}]({name})\n" for name in names)
    if found.suffix == ".ipynb":
        return notebook_text(json.loads(found.read_text(encoding="utf-8")))
    return found.read_text(encoding="utf-8") if found.suffix == ".md" else ""


def notebook_text(notebook: dict[str, Any]) -> str:
    """Cells and what they gave, as Markdown; pictures within."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                parts.append(f"![figure](data:image/png;base64,{''.join(data['image/png']).strip()})")
            else:
                parts.append(f"```\n{''.join(output.get('text', data.get('text/plain', ''))).rstrip()}\n```")
    return "\n\n".join(parts)


def on_files(files: Files, config: Any) -> Files:
    """Add what is linked and lies elsewhere, and what that links to."""
    known = {origin(file.src_uri) for file in files if not file.src_uri.endswith(".ipynb")}
    waiting = [path for path in known if path.endswith(".md")]
    while waiting:
        path = waiting.pop()
        for target in targets(text_of(path), path):
            if target in known:
                continue
            known.add(target)
            waiting.append(target)
            if text := text_of(target):
                files.append(File.generated(config, place(target), content=text))
            else:
                files.append(File.generated(config, place(target), abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links lead to where things lie on the site."""
    uri = page.file.src_uri
    path = origin(uri)
    folder = path if (ROOT / path).is_dir() else posixpath.dirname(path)

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[0]))
        if target.startswith("..") or not (ROOT / target).exists():
            return match[0]
        return posixpath.relpath(place(target), posixpath.dirname(uri))

    return LINK.sub(moved, markdown)
