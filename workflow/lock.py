"""Resolve every dependency anew in a throw-away environment and write requirements.lock.

python workflow/lock.py [torch-version]
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

TORCH = sys.argv[1] if len(sys.argv) > 1 else "2.13.0"
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Install package and extras, freeze, replace the lock."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        wanted = [f"torch=={TORCH}", "setuptools>=77", f"{ROOT}[data,book,pipeline,test]"]
        subprocess.run([*pip, "install", "--quiet", *wanted], check=True)
        frozen = subprocess.run([*pip, "freeze", "--all"], check=True, capture_output=True, text=True).stdout
    # "+cpu" names one build of a release; the lock names the release. pip itself is not ours to pin.
    lines = [line.split("+")[0] for line in frozen.splitlines() if not line.startswith(("mmfusion", "pip=="))]
    head = "# Every version that the book, the pipeline and the tests run with. Made by: make lock\n"
    (ROOT / "requirements.lock").write_text(head + "\n".join(sorted(lines, key=str.lower)) + "\n")


if __name__ == "__main__":
    main()
