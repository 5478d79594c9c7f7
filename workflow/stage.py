"""Lay out executed notebooks and prose pages as one book and have Jupyter Book build it, all or nothing.

    python workflow/stage.py --executed _build/quick/executed --stage _build/quick/stage --html _build/html

Every page of `_toc.yml` must be there: an executed notebook where the page has code, else the Markdown as it is.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml

LONGEST_OPEN_CELL = 12
WIDEST_OPEN_CELL = 90  # characters that fit the column
LINK = re.compile(r"\[([^\]]+)\]\((?!\w+://)([^)\s#]+)\.md(#[^)\s]+)?\)")
HERE = re.compile(r"\[([^\]]+)\]\((#(?:claim|figure)-[^)\s]+)\)")


def pages(toc: Path) -> list[str]:
    """All pages of the table of contents, in order, without extension."""
    table = yaml.safe_load(toc.read_text(encoding="utf-8"))
    chapters = [entry["file"] for part in table["parts"] for entry in part["chapters"]]
    return [table["root"], *chapters]


def has_code(path: Path) -> bool:
    """Whether a Markdown page is a notebook."""
    return "{code-cell}" in path.read_text(encoding="utf-8")


def stage(executed: Path, folder: Path, toc: Path = Path("_toc.yml")) -> None:
    """Make `folder` anew with the book's sources: configuration, static files, prose, executed notebooks."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(toc.parent / name, folder)
    for name in ("_static", "_ext"):
        shutil.copytree(toc.parent / "book" / name, folder / "book" / name)
    shutil.copy(toc.parent / "book/references.bib", folder / "book")
    for page in pages(toc):
        source = toc.parent / f"{page}.md"
        if not source.is_file():
            sys.exit(f"_toc.yml names {page}, and there is no {source}")
        target = folder / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if has_code(source):
            write_notebook(executed / f"{page}.ipynb", target.with_suffix(".ipynb"))
        else:
            target.with_suffix(".md").write_text(relink(source.read_text(encoding="utf-8")), encoding="utf-8")


def write_notebook(executed: Path, target: Path) -> None:
    """Copy an executed notebook; hollow ones (code cells, not one output) are refused, the pipeline's cell
    goes, parameters and cells too long or too wide for the column are folded."""
    if not executed.is_file():
        sys.exit(f"no executed notebook {executed}; run the pipeline first")
    try:
        notebook = nbformat.read(executed, as_version=4)
    except (ValueError, nbformat.ValidationError) as error:
        sys.exit(f"{executed} is truncated or no notebook ({type(error).__name__}); delete it to have it made anew")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if not any(cell.outputs for cell in code):
        sys.exit(f"{executed} is hollow: {len(code)} code cells and no output")
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            cell.source = relink(cell.source)
        if "injected-parameters" in tags:
            cell.metadata["tags"] = [*tags, "remove-cell"]
        elif cell.cell_type == "code" and not {"remove-cell", "remove-input", "hide-input"} & set(tags):
            lines = cell.source.splitlines()
            wide = max(map(len, lines), default=0) > WIDEST_OPEN_CELL
            if "parameters" in tags or wide or len(lines) > LONGEST_OPEN_CELL:
                cell.metadata["tags"] = [*tags, "hide-input"]
    nbformat.write(notebook, target)


def relink(text: str) -> str:
    """Links between pages are written to the .md sources. In the book a page has no extension; a link to an anchor
    that a cell's output makes (a verdict box, a figure) becomes plain HTML, for Sphinx does not know such anchors."""

    def target(match: re.Match) -> str:
        label, page, anchor = match.groups()
        return f'<a href="{page}.html{anchor}">{label}</a>' if anchor else f"[{label}]({page})"

    return HERE.sub(r'<a href="\2">\1</a>', LINK.sub(target, text))


def build(folder: Path, html: Path) -> None:
    """Run Jupyter Book strictly on `folder`; replace `html` only when the whole book stands."""
    command = [
        str(Path(sys.executable).with_name("jupyter-book")),
        "build",
        str(folder),
        "-W",
        "-n",
        "--keep-going",
        "-q",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    built = folder / "_build/html"
    if done.returncode or not (built / "index.html").is_file():
        print(done.stdout[-6000:], file=sys.stderr)
        sys.exit("the book did not build")
    old = html.with_name(html.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    html.parent.mkdir(parents=True, exist_ok=True)
    if html.exists():
        html.rename(old)
    built.rename(html)
    shutil.rmtree(old, ignore_errors=True)


def main(argv: list[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--executed", type=Path, required=True)
    parser.add_argument("--stage", type=Path, required=True)
    parser.add_argument("--html", type=Path, required=True)
    arguments = parser.parse_args(argv)
    stage(arguments.executed, arguments.stage)
    build(arguments.stage, arguments.html)


if __name__ == "__main__":
    main()
