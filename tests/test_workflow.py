"""The pipeline's parts: what a notebook imports, how it is executed, how the book is laid out, what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from workflow import execute, imports, settings, stage

ROOT = Path(__file__).resolve().parents[1]

HEADER = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""


def notebook(path: Path, *cells: str) -> Path:
    """Write a MyST notebook whose first cell takes parameters."""
    blocks = [f"```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells]
    path.write_text(HEADER + "# Title\n\n" + "\n".join(blocks))
    return path


def snakemake(*arguments: str) -> subprocess.CompletedProcess:
    """Run Snakemake on the project's Snakefile."""
    command = [sys.executable, "-m", "snakemake", "--nolock", "--cores", "1", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_closure_follows_direct_indirect_and_lazy_imports(tmp_path: Path) -> None:
    """Imports at the top, within functions, of a name or of a module, and relative ones are all followed."""
    package = tmp_path / "mmfusion"
    (package / "deep").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "first.py": "from mmfusion import second\n",
        "second.py": "def late():\n    from mmfusion.deep.third import thing\n    return thing\n",
        "unused.py": "",
        "deep/__init__.py": "",
        "deep/third.py": "from .fourth import x\nthing = x\n",
        "deep/fourth.py": "import numpy\nx = 1\n",
    }.items():
        (package / name).write_text(text)
    found = imports.closure("import numpy\nfrom mmfusion import first\n", tmp_path)
    names = ["__init__", "deep/__init__", "deep/fourth", "deep/third", "first", "second"]
    assert found == sorted(f"mmfusion/{name}.py" for name in names)
    before = imports.digest(found, tmp_path)
    (package / "unused.py").write_text("x = 2\n")
    assert imports.digest(found, tmp_path) == before
    (package / "deep/fourth.py").write_text("x = 2\n")
    assert imports.digest(found, tmp_path) != before


def test_executed_notebook_is_whole_parametrised_and_scrubbed(tmp_path: Path) -> None:
    """Parameters arrive, the output names no folder of this machine, nothing else is left behind."""
    source = notebook(tmp_path / "page.md", ":tags: [parameters]\nstarts = 1", "print(starts * 2)")
    target = tmp_path / "out/page.ipynb"
    execute.execute(source, target, {"starts": 21})
    done = nbformat.read(target, as_version=4)
    assert "42" in done.cells[-1].outputs[0]["text"]
    assert "papermill" not in done.metadata
    assert done.metadata["mmfusion"]["parameters_sha256"]
    assert [path.name for path in target.parent.iterdir()] == ["page.ipynb"]


def test_failing_notebook_leaves_the_old_output(tmp_path: Path) -> None:
    """A cell that raises stops the run, the message names it, and an earlier good output stays as it was."""
    target = tmp_path / "page.ipynb"
    target.write_text("the good one")
    source = notebook(tmp_path / "page.md", ":tags: [parameters]\nx = 0", "1 / x")
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        execute.execute(source, target, {})
    assert target.read_text() == "the good one"
    assert (tmp_path / "page.failed.ipynb").is_file()


def test_hollow_and_missing_notebooks_are_refused(tmp_path: Path) -> None:
    """A notebook that was not executed never gets into the book."""
    hollow = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    nbformat.write(hollow, tmp_path / "hollow.ipynb")
    with pytest.raises(SystemExit, match="hollow"):
        stage.write_notebook(tmp_path / "hollow.ipynb", tmp_path / "x.ipynb")
    with pytest.raises(SystemExit, match="run the pipeline first"):
        stage.write_notebook(tmp_path / "none.ipynb", tmp_path / "x.ipynb")
    assert not (tmp_path / "x.ipynb").exists()


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    """A killed run leaves its working folder; the next run of that page removes it."""
    source = notebook(tmp_path / "page.md", ":tags: [parameters]\nx = 1", "print(x)")
    left = tmp_path / "out/.execute-page"
    left.mkdir(parents=True)
    (left / "done.ipynb").write_text("half a note")
    execute.execute(source, tmp_path / "out/page.ipynb", {})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["page.ipynb"]


def test_a_truncated_notebook_is_named(tmp_path: Path) -> None:
    """One message says which executed notebook is broken and what to do."""
    (tmp_path / "page.ipynb").write_text('{"cells": [{"cell_ty')
    with pytest.raises(SystemExit, match="page.ipynb is truncated .* delete it to have it made anew"):
        stage.write_notebook(tmp_path / "page.ipynb", tmp_path / "x.ipynb")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  epochs: 2\n", "", "train: missing: epochs"),
        ("  epochs: 2\n", "  epochs: 2\n  epoch: 2\n", "train: unknown: epoch"),
        (
            "welding-single: {frames: 160, size: 16, seed: 0}",
            "welding-single: {size: 16}",
            "data: welding-single: missing: frames, seed",
        ),
        ("mujoco: {variants_per_job: 5}", "mujoco: {epoch: 5}", "experiments: mujoco: unknown: epoch"),
        ("  mujoco: {variants_per_job: 5}\n", "", "experiments: missing: mujoco"),
        (
            "  welding-dual: {frames: 160, size: 16, seed: 0}\n",
            "",
            "welding-dual: data set 'welding-dual' has no size under data",
        ),
        ("trials_at_once: 0", "trials_at_once: -1", "trials_at_once must be a whole number from 0, got -1"),
        ("variants_per_job: 30", "variants_per_job: 0", "variants_per_job must be a whole number from 1, got 0"),
        ("theory:\n  starts: 16\n  seed: 0\n", "theory: 16\n", "theory: wanted a mapping of seed, starts; got 16"),
        ("publish: false\n", "", "missing: publish"),
        ("publish: false", "publish: maybe", "publish must be true or false, got 'maybe'"),
    ],
)
def test_an_incomplete_profile_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A missing or misspelt parameter never falls back to a default in silence."""
    text = (ROOT / "profiles/smoke.yml").read_text()
    assert text.count(old) == 1
    (tmp_path / "own.yml").write_text(text.replace(old, new))
    with pytest.raises(settings.ProfileError, match=re.escape(said)):
        settings.read(tmp_path / "own.yml")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds: [0, 1]", "seeds: []", "seeds must be a list"),
        ("seeds: [0, 1]", "seeds: [-1]", "seeds must be a list"),
        ("device: cpu", "device: quantum", "unknown device 'quantum'"),
        ("channels: [4, 4]", "channels: [4, 4, 4, 4]", "too small for 4 convolutions"),
        ("pick-and-place: {frames: 160", "pick-and-place: {frames: 0", "pick-and-place: frames must be a whole number"),
        (
            "  pick-and-place: {",
            "  welding: {frames: 1, size: 8, seed: 0}\n  pick-and-place: {",
            "unknown data set 'welding'",
        ),
        (
            "  pick-and-place: {",
            "  robomnist: {frames: 1, size: 8, seed: 0}\n  pick-and-place: {",
            "robomnist: root, the folder",
        ),
        (
            "pick-and-place: {frames: 160",
            "pick-and-place: {root: here, frames: 160",
            "pick-and-place: root, the folder",
        ),
        ("severity: 0.3", "severity: 3", "severity must lie between 0 and 1, got 3"),
        ("algorithms: fixed", "algorithms: any", "algorithms must be one of ['fixed', 'timed', 'free'], got 'any'"),
        ("test_fraction: 0.5", "test_fraction: 0", "test_fraction must lie between 0 and 1, got 0"),
        ("measure_samples: 2", "measure_samples: 0", "measure_samples must be a whole number of at least 1, got 0"),
        ("iterations: 2", "iterations: 0", "measure_iterations must be a whole number of at least 1, got 0"),
        ("mixed_precision: false", "mixed_precision: 3", "mixed_precision must be true or false, got 3"),
        ("widths: [16]", "widths: 16", "widths must be a list of whole numbers, got 16"),
        ("  starts: 16", "  starts: many", "theory: starts must be a whole number of at least 1, got 'many'"),
        ("  frames: 40", "  frames: 0", "gallery: frames must be a whole number of at least 1, got 0"),
        ("weight_l2: 0.00001", "weight_l2: -1", "weight_l2 must be a finite number from 0, got -1"),
    ],
)
def test_an_impossible_profile_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    """One line, before anything is computed."""
    text = (ROOT / "profiles/smoke.yml").read_text()
    assert text.count(old) == 1
    path = tmp_path / "own.yml"
    path.write_text(text.replace(old, new))
    with pytest.raises(SystemExit) as stopped:
        settings.main([str(path)])
    assert said in stopped.value.code and str(path) in stopped.value.code and "\n" not in stopped.value.code


TRY = """
try:
  dataset: pick-and-place
  modalities: [camera, sensor]
"""


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ("  variants: {sum: {fusion: sum, epochs: 3}}", "try: sum: unknown: epochs"),
        ("  variants: {control: {fusion: sum, matched_to: none}}", "matched_to names 'none', which is no free variant"),
        ("  variants: {}", "try: no variants"),
        ("  variants: [sum]", "try: variants: wanted settings by name, or nothing, got ['sum']"),
        ("  variants: {sum: 3}", "try: sum: wanted settings by name, or nothing, got 3"),
        ("  variants: {a/b: {fusion: sum}}", "a variant names a folder; wanted letters, digits, . and -, got 'a/b'"),
        ("  variants: {sum: , concat: {matched_to: sum, weight_l2: 0}}", "what is matched to 'sum' has its fusion"),
        ("  variants: {sum: , to: {fusion: sum, matched_to: sum}}", "has its fusion and weight_l2 0, got"),
        ("  grid: {fusions: sum, learning_rates: {slow: 1}}", "wanted a list of fusions and learning_rates by name"),
        ("  grid: {fusions: [sum]}", "try: grid: missing: learning_rates"),
        ("  grids: {}", "try: unknown: grids"),
    ],
)
def test_an_impossible_experiment_is_refused(tmp_path: Path, variants: str, said: str) -> None:
    """The list of experiments is checked as strictly as the profile."""
    (tmp_path / "experiments.yml").write_text(TRY + variants + "\n")
    text = (ROOT / "profiles/smoke.yml").read_text()
    (tmp_path / "own.yml").write_text(text[: text.index("experiments:")] + "experiments: {try: {}}\n")
    with pytest.raises(settings.ProfileError, match=re.escape(said)):
        settings.read(tmp_path / "own.yml", tmp_path / "experiments.yml")


def test_experiments_of_another_form_are_refused(tmp_path: Path) -> None:
    """No experiments at all, and modalities that are no list of names."""
    profile = ROOT / "profiles/smoke.yml"
    (tmp_path / "experiments.yml").write_text("- mujoco\n")
    with pytest.raises(settings.ProfileError, match=r"wanted experiments by name, got \['mujoco'\]"):
        settings.read(profile, tmp_path / "experiments.yml")
    text = (ROOT / "experiments.yml").read_text()
    for wrong in ("camera", "[]", "[camera, camera]"):
        (tmp_path / "experiments.yml").write_text(text.replace("[camera, sensor]", wrong, 1))
        with pytest.raises(settings.ProfileError, match="mujoco: modalities must be a list of names, each once, got"):
            settings.read(profile, tmp_path / "experiments.yml")


def test_an_option_that_its_fusion_does_not_know_is_refused() -> None:
    """Before the first run, with the variant's name."""
    experiment = settings.read(ROOT / "profiles/smoke.yml")["experiments"]["mujoco"]
    experiment["variants"]["sum"]["fusion_options"] = {"layers": 2}
    with pytest.raises(ValueError, match="sum: fusion_options {'layers': 2}: .*unexpected keyword"):
        settings._check_training(experiment, 16)


def test_variants_are_dealt_out_to_jobs_and_controls_come_last(tmp_path: Path) -> None:
    """A grid is every fusion at every rate; a control never shares a job with the run that it follows."""
    (tmp_path / "experiments.yml").write_text(
        TRY + "  grid: {fusions: [sum, concat], learning_rates: {slow: 0.001, fast: 0.1}}\n"
        "  variants: {control: {fusion: sum, matched_to: sum-lr-slow, weight_l2: 0}, attention: }\n"
    )
    text = (ROOT / "profiles/smoke.yml").read_text()
    own = "experiments: {try: {variants_per_job: 2, epochs: 7}}\n"
    (tmp_path / "own.yml").write_text(text[: text.index("experiments:")] + own)
    found = settings.read(tmp_path / "own.yml", tmp_path / "experiments.yml")["experiments"]["try"]
    assert found["jobs"] == [
        ["attention", "sum-lr-slow"],
        ["sum-lr-fast", "concat-lr-slow"],
        ["concat-lr-fast"],
        ["control"],
    ]
    assert found["variants"]["concat-lr-fast"] == {"fusion": "concat", "learning_rate": 0.1}
    assert found["train"]["epochs"] == 7 and found["train"]["batch_size"] == 16
    with pytest.raises(ValueError, match="try: try-me: unknown fusion 'try-me'|unknown fusion"):
        found["variants"]["try-me"] = {"fusion": "try-me"}
        settings._check_training(found, 16)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"weight_l2": -1e-3}, "weight_l2 must be a finite number from 0, got -0.001"),
        ({"penalise": "all"}, "penalise must be one of ['fusion', 'everything'], got 'all'"),
    ],
)
def test_a_variant_of_impossible_settings_is_refused(own: dict, said: str) -> None:
    profile = settings.read(ROOT / "profiles/smoke.yml")
    experiment = profile["experiments"]["regularisation"]
    experiment["variants"]["lambda-0"] |= own
    with pytest.raises(ValueError, match=re.escape(f"regularisation: {said}")):
        settings.check_values({**profile, "experiments": {"regularisation": experiment}})


def test_the_projects_profiles_are_possible() -> None:
    """Also the one for a GPU, on a machine without."""
    for path in sorted((ROOT / "profiles").glob("*.yml")):
        settings.main([str(path)])
        assert settings.read(path)["name"] == path.stem


@pytest.mark.parametrize(
    ("source", "folded"),
    [("x = 1", False), ("x = 1\n" * 12 + "x", True), ("x = '" + "y" * 90 + "'", True)],
    ids=["short", "long", "wide"],
)
def test_cells_that_do_not_fit_are_folded(tmp_path: Path, source: str, folded: bool) -> None:
    output = nbformat.v4.new_output("stream", text="1")
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, outputs=[output])])
    nbformat.write(page, tmp_path / "page.ipynb")
    stage.write_notebook(tmp_path / "page.ipynb", tmp_path / "staged.ipynb")
    (cell,) = nbformat.read(tmp_path / "staged.ipynb", as_version=4).cells
    assert ("hide-input" in cell.metadata.get("tags", [])) is folded


@pytest.mark.parametrize(
    ("written", "staged"),
    [
        ("[a](../x/y.md)", "[a](../x/y)"),
        ("[a](y.md#claim-A)", '<a href="y.html#claim-A">a</a>'),
        ("[a](https://example.org/y.md)", "[a](https://example.org/y.md)"),
        ("[a](y.html)", "[a](y.html)"),
        ("[`A-1`](#claim-A-1)", '<a href="#claim-A-1">`A-1`</a>'),
        ("[a](#why)", "[a](#why)"),
    ],
)
def test_links_are_rewritten_for_the_book(written: str, staged: str) -> None:
    """Links point to sources in the repository and to pages in the book; other links stay."""
    assert stage.relink(written) == staged


def test_every_page_of_the_contents_has_a_source() -> None:
    """The table of contents names only files that exist, each once."""
    pages = stage.pages(ROOT / "_toc.yml")
    assert len(pages) == len(set(pages)) > 10
    assert not [page for page in pages if not (ROOT / f"{page}.md").is_file()]


def test_smoke_is_never_published() -> None:
    """The book refuses the profile that tests use, before it touches anything."""
    done = snakemake("--config", "profile=smoke", "--dry-run")
    assert done.returncode != 0
    assert "never published" in done.stdout + done.stderr


def test_unknown_profile_is_named() -> None:
    """An unknown profile: one message that lists those there are."""
    done = snakemake("--config", "profile=grand", "--dry-run")
    assert done.returncode != 0
    assert "unknown profile 'grand'; there are paper, quick, smoke" in done.stdout + done.stderr


def test_the_graph_runs_on_slurm() -> None:
    """The cluster profile resolves the whole graph (dry run)."""
    done = snakemake("--profile", "workflow/slurm", "--config", "profile=paper", "--dry-run", "--forceall")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train" in done.stdout + done.stderr


def planned(folder: Path) -> set[str]:
    """Files that a dry run of the preview would make in `folder`."""
    command = [sys.executable, "-m", "snakemake", "--nolock", "--cores", "1", "--dry-run", "--config", "profile=smoke"]
    done = subprocess.run([*command, "--", "preview"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    made = re.findall(r"^ +output: (.+)$", done.stdout + done.stderr, flags=re.M)
    return {name for line in made for name in line.split(", ")}


def test_what_an_edit_runs_again(tmp_path: Path) -> None:
    """Nothing changed: nothing runs. One page edited: that page and the overviews. One module: its importers."""
    if not (ROOT / "_build/smoke/preview/index.html").is_file():
        pytest.skip("no preview built; make one with: make preview")
    heavy = shutil.ignore_patterns(
        ".git", ".venv", "stage", "checkpoints", "nbval", "quick", "html", "log", "__pycache__"
    )
    copy = shutil.copytree(ROOT, tmp_path / "copy", ignore=heavy, symlinks=True)
    assert planned(copy) == set()

    page = copy / "notebooks/lipschitz/gradients.md"
    original = page.read_text(encoding="utf-8")
    page.write_text(original + "\nOne more line.\n", encoding="utf-8")
    executed = "_build/smoke/executed"
    after_page = {
        f"{executed}/notebooks/lipschitz/gradients.ipynb", "_build/smoke/records/claims/lipschitz/gradients.json",
        f"{executed}/book/index.ipynb", f"{executed}/book/ledger.ipynb", f"{executed}/book/paper-a.ipynb",
        f"{executed}/book/findings.ipynb", f"{executed}/book/theorems.ipynb",
        "_build/smoke/preview/index.html",
    }  # fmt: skip
    assert planned(copy) == after_page

    (copy / "_build/smoke/runs/mujoco/sum/seed-1.json").unlink()
    again = planned(copy)
    assert f"{executed}/train/mujoco/sum.ipynb" in again and f"{executed}/train/welding-dual/sum.ipynb" not in again

    module = copy / "mmfusion/statistics.py"
    module.write_text(module.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    importers = {page for page in after_page if "gradients" not in page} | {
        f"{executed}/notebooks/lipschitz/results-mujoco.ipynb",
        "_build/smoke/records/claims/lipschitz/results-mujoco.json",
    }
    assert importers <= planned(copy)
    assert f"{executed}/notebooks/lipschitz/attention.ipynb" not in planned(copy)
