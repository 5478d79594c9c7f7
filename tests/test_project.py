"""The project's own files agree: metadata, lock, conda environment, continuous integration, licence."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from workflow.imports import closure

ROOT = Path(__file__).resolve().parents[1]


def canonical(name: str) -> str:
    """A distribution's name as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def metadata() -> dict:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def lock() -> dict[str, Version]:
    """requirements.lock: name to version."""
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", line) for line in lines), "every line pins one version"
    return {canonical(name): Version(version) for name, version in (line.split("==") for line in lines)}


def test_lock_satisfies_metadata(metadata: dict, lock: dict[str, Version]) -> None:
    """Each dependency and each extra is pinned to a version that the package's metadata admits."""
    project = metadata["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    assert set(project["optional-dependencies"]) == {"book", "data", "pipeline", "test"}
    for requirement in map(Requirement, wanted):
        pinned = lock.get(canonical(requirement.name))
        assert pinned is not None, f"{requirement.name} is not in the lock"
        assert requirement.specifier.contains(pinned), f"{requirement} excludes the lock's {pinned}"


def test_torch_is_pinned_and_nothing_drags_another_build(lock: dict[str, Version]) -> None:
    """The lock pins the tested release; torchvision and torchaudio bring builds of their own."""
    assert lock["torch"] == Version("2.13.0")
    assert not {"torchvision", "torchaudio"} & set(lock)


def test_conda_environment_agrees(metadata: dict) -> None:
    """environment.yml installs the lock, on the Python versions that the metadata names."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = next(entry for entry in entries if isinstance(entry, str) and entry.startswith("python"))
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(metadata["project"]["requires-python"])
    pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    assert "-r requirements.lock" in pip


def test_workflows_cover_the_supported_versions(metadata: dict) -> None:
    """CI tests each supported Python, by the same script."""
    job = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]["test"]
    supported = SpecifierSet(metadata["project"]["requires-python"])
    tested = {Version(version) for version in job["strategy"]["matrix"]["python"]}
    assert tested == {Version(f"3.{minor}") for minor in range(8, 20) if supported.contains(f"3.{minor}")}
    assert any("bash .ci/run" in step.get("run", "") for step in job["steps"])


def test_readme_names_the_commands_that_ci_runs() -> None:
    """What the README tells a user is what CI runs."""
    readme, script = (ROOT / "README.md").read_text(), (ROOT / ".ci/run").read_text()
    for command in ("make test", "make book"):
        assert command in readme and command in script


def test_citation_and_licence(metadata: dict) -> None:
    """CITATION.cff carries the package's version; the licence names both parts."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == metadata["project"]["version"]
    text = (ROOT / "LICENSE").read_text()
    assert "MIT License" in text and "CC BY 4.0" in text


def test_layers_import_downward_only() -> None:
    """No module imports from a floor above its own."""
    floors = [
        {
            "bounds",
            "symbolic",
            "verdicts",
            "claims",
            "records",
            "statistics",
            "decisions",
            "tuning",
            "graph",
            "ledger",
            "theorems",
            "printed",
            "exhibits",
            "smoothing",
            "cp",
            "bilinear",
            "kernels",
            "transport",
        },
        {
            "adversarial",
            "alignment",
            "classical_fusion",
            "data",
            "dynamic_gate",
            "fusion",
            "latent_maps",
            "objectives",
            "tensor_fusion",
        },
        {"models"},
        {"training", "measure", "matched", "runs", "experiment", "quantities"},
        {"plotting", "figures", "scales", "cli", "bench", "ceilings", "throughput"},
    ]
    level = {name: floor for floor, names in enumerate(floors) for name in names}
    for path in sorted((ROOT / "mmfusion").rglob("*.py")):
        relative = path.relative_to(ROOT / "mmfusion")
        own = relative.parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for used in closure(path.read_text(), ROOT):
            name = Path(used).relative_to("mmfusion").parts[0].removesuffix(".py")
            if name != "__init__":
                assert level[name] <= level[own], (
                    f"{relative} (floor {level[own]}) reaches {used} (floor {level[name]})"
                )


def test_files_stay_short() -> None:
    """One idea a file: no module of the package grows past about 400 lines."""
    long = {p.name: n for p in (ROOT / "mmfusion").rglob("*.py") if (n := len(p.read_text().splitlines())) > 430}
    assert not long


def test_displayed_formulas_stand_alone() -> None:
    """A `$$` formula inside a paragraph is read as text between stray dollar signs: blank lines go around it."""
    crowded = []
    for page in (*ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*/*.md")):
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        for block in re.split(r"\n\s*\n", prose):
            lines = [line for line in block.splitlines() if line.strip() and not line.startswith(":")]
            text = "\n".join(lines)
            if "$$" in text and not (text.startswith("$$") and text.endswith("$$") and text.count("$$") == 2):
                crowded.append(f"{page.relative_to(ROOT)}: {text[:60]}")
    assert not crowded
