"""Execute one notebook with papermill: parameters in, an executed notebook out, whole or not at all.

    python workflow/execute.py SOURCE.md OUTPUT.ipynb --parameters '{"starts": 16}'

The same as `jupytext --to ipynb --output - SOURCE.md | papermill - OUTPUT.ipynb -f parameters.yml`, and beyond that:
the output appears only when every cell has run, it names no path of this machine, and it is stamped with the digests
of its source and parameters. A notebook that fails is kept beside the output as OUTPUT.failed.ipynb.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import jupytext
import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError


def execute(source: Path, output: Path, parameters: dict, kernel: str = "python3") -> None:
    """Run `source` (MyST Markdown) with `parameters` in the current folder and put the result at `output`."""
    notebook = jupytext.read(source)
    output.parent.mkdir(parents=True, exist_ok=True)
    failed = output.with_suffix(".failed.ipynb")
    failed.unlink(missing_ok=True)
    # One name per output, so that what a killed run left here is cleared by the next.
    folder = output.with_name(f".execute-{output.stem}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        plain, done = folder / "source.ipynb", folder / "done.ipynb"
        nbformat.write(notebook, plain)
        try:
            papermill.execute_notebook(
                plain, done, parameters=parameters, kernel_name=kernel, progress_bar=False, log_output=False
            )
        except PapermillExecutionError as error:
            os.replace(done, failed)
            sys.exit(f"{source}: cell {error.exec_count} failed with {error.ename}: {error.evalue}\nsee {failed}")
        scrub(done, source, parameters)
        os.replace(done, output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scrub(path: Path, source: Path, parameters: dict) -> None:
    """Take paths and times of this machine out of the metadata; stamp source and parameters."""
    notebook = nbformat.read(path, as_version=4)
    text = json.dumps(parameters, sort_keys=True)
    notebook.metadata.pop("papermill", None)
    notebook.metadata["mmfusion"] = {
        "source": source.as_posix(),
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "parameters_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            # What goes to standard error (progress bars, library chatter) is for the terminal, not for readers.
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    nbformat.write(notebook, path)


def main(argv: list[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--parameters", default="{}", help="a JSON object")
    arguments = parser.parse_args(argv)
    execute(arguments.source, arguments.output, json.loads(arguments.parameters))


if __name__ == "__main__":
    main()
