"""Which files of the package a notebook runs: the closure of its imports, read from the source, nothing executed."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import jupytext

PACKAGE = "mmfusion"


def _files(module: str, root: Path) -> list[Path]:
    """The files that importing `module` runs: each package's __init__ on the way, and the module itself."""
    found, path = [], root
    for part in module.split("."):
        path = path / part
        init, plain = path / "__init__.py", path.with_suffix(".py")
        if init.is_file():
            found.append(init)
        elif plain.is_file():
            found.append(plain)
        else:
            break
    return found


@cache
def _imported(source: str, inside: str) -> tuple[str, ...]:
    """Dotted names of our package that `source` imports, at the top or within functions; a name that turns out to
    be no module but a function costs nothing, for `_files` stops there. Each text is parsed once a process."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = inside.split(".")[: -node.level] if node.level else []
                base = ".".join([*parents, base] if base else parents)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        found += [name for name in names if name.split(".")[0] == PACKAGE]
    return tuple(dict.fromkeys(found))


def closure(source: str, root: str | Path = ".") -> list[str]:
    """All files of the package that `source` (Python text) imports, directly or not, sorted, relative to `root`."""
    root = Path(root)
    waiting, seen = [(source, "")], set()
    while waiting:
        text, inside = waiting.pop()
        for name in _imported(text, inside):
            for path in _files(name, root):
                if path not in seen:
                    seen.add(path)
                    dotted = ".".join(path.relative_to(root).with_suffix("").parts)
                    waiting.append((path.read_text(encoding="utf-8"), dotted))
    return sorted(path.relative_to(root).as_posix() for path in seen)


@cache
def _code(text: str) -> str:
    """All code of a MyST notebook."""
    notebook = jupytext.reads(text, fmt="md:myst")
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def of_notebook(path: str | Path, root: str | Path = ".") -> list[str]:
    """The closure of a notebook's code cells."""
    return closure(_code(Path(path).read_text(encoding="utf-8")), root)


def digest(paths: Iterable[str], root: str | Path = ".") -> str:
    """Twelve hexadecimal digits of the content of `paths`: work done under another digest is not reused."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.encode() + b"\0" + (Path(root) / path).read_bytes() + b"\0")
    return total.hexdigest()[:12]
