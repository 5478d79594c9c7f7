"""Copy finished records of profile `paper` to where the repository keeps them.

    python workflow/keep.py                  from _build/paper/runs to results/paper
    python workflow/keep.py --replace        also where records of other data or source are kept there: those go

All records are checked before the first is written: whole, of this profile and its settings, from a clean commit, with
the key that follows from their content. One line says what was kept, or what is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mmfusion import records, runs  # noqa: E402
from workflow import settings  # noqa: E402

PROFILE = "paper"
MEGABYTES = 20
# Settings of a profile that decide what is learned; where and how fast it is computed may differ.
DECISIVE = ("epochs", "batch_size", "channels", "widths", "severity", "measure_every")


class KeepError(ValueError):
    """A record that must not be kept."""


def collect(folder: Path, profile: dict[str, Any], only: list[str] | None = None) -> dict[Path, dict[str, Any]]:
    """The finished records below `folder`, by their place there. Raises ``ValueError`` for a bad one."""
    unknown = sorted(set(only or ()) - set(profile["experiments"]))
    if unknown:
        raise KeepError(f"unknown experiments {unknown}; there are {', '.join(profile['experiments'])}")
    found = {}
    for path in sorted(folder.glob("*/*/seed-*.json")):
        place = path.relative_to(folder)
        if only is None or place.parts[0] in only:
            record = records.read(path, runs.SCHEMA, runs.KEYS)
            try:
                check(record, place, profile)
            except KeepError as error:
                raise KeepError(f"{path}: {error}") from None
            found[place] = record
    if not found:
        raise KeepError(f"no run records in {folder}; make them with: make paper")
    return found


def check(record: dict[str, Any], place: Path, profile: dict[str, Any]) -> None:
    """Raises `KeepError` for a record that does not belong at `place` or was not made as the profile says."""
    experiment, variant, seed = record["experiment"], record["variant"], record["seed"]
    if runs.record_path("", experiment, variant, seed) != place:
        raise KeepError(f"holds seed {seed} of {variant!r} in {experiment!r}, which does not belong there")
    made = record["provenance"]
    if made.get("profile") != PROFILE:
        raise KeepError(f"was made with profile {made.get('profile')!r}; only {PROFILE!r} is kept")
    commit = made.get("commit", "unknown")
    if commit == "unknown" or commit.endswith("-dirty"):
        raise KeepError(f"was made at commit {commit!r}; wants a commit without changes")
    missing = [name for name in ("source", "device", "torch", "date") if not made.get(name)]
    if str(made.get("device")).startswith("cuda") and not made.get("accelerator"):
        missing.append("accelerator")
    if missing:
        raise KeepError(f"does not say where it comes from: no {', '.join(missing)}")
    key = runs.identity(
        record["config"], record["modalities"], record["dataset"]["digest"], record["fusion"], seed, made["source"],
        made["torch"],
    )  # fmt: skip
    if key != record["key"]:
        raise KeepError("its key does not follow from its content: it was changed after it was made")
    stated = profile["experiments"].get(experiment)
    if stated is None or variant not in stated["variants"]:
        raise KeepError(f"experiments.yml knows no {variant!r} in {experiment!r}")
    own, data = stated["variants"][variant], profile["data"][stated["dataset"]]
    wanted = {
        "fusion": own["fusion"], "seed": seed if seed in stated["train"]["seeds"] else stated["train"]["seeds"],
        "dataset": stated["dataset"], "modalities": stated["modalities"],
        "test_fraction": stated["train"]["test_fraction"],
        **{name: data[name] for name in ("frames", "size")}, "data_seed": data["seed"],
        **{name: stated["train"][name] for name in DECISIVE},
        **{name: own.get(name, stated["train"][name]) for name in ("learning_rate", "weight_l2")},
        "fusion_options": own.get("fusion_options", {}), "penalise": own.get("penalise", "fusion"),
    }  # fmt: skip
    dataset = record["dataset"]
    given = {
        **record["config"], "fusion": record["fusion"], "seed": seed, "dataset": dataset["name"],
        "modalities": list(record["modalities"]), "test_fraction": made.get("test_fraction"),
        "frames": dataset.get("frames"), "size": dataset.get("size"), "data_seed": dataset.get("seed"),
    }  # fmt: skip
    other = [name for name, value in wanted.items() if given.get(name) != value]
    if other:
        said = "; ".join(f"{name} is {given.get(name)!r}, wanted {wanted[name]!r}" for name in other)
        raise KeepError(f"was not made with this profile's settings: {said}")


def keep(
    found: dict[Path, dict[str, Any]], out: Path, replace: bool = False, megabytes: float | int = MEGABYTES
) -> int:
    """Write the records below `out`; the bytes that it then holds.

    Records of one experiment must be of one data set and one source, those that are kept there already included;
    with `replace` those go. Raises `KeepError` before anything is changed.
    """
    texts = {
        place: json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n" for place, record in found.items()
    }
    experiments = {place.parts[0] for place in found}
    old = {path.relative_to(out): path for name in experiments for path in (out / name).glob("*/seed-*.json")}
    staying = {} if replace else {place: path for place, path in old.items() if place not in found}
    for name in sorted(experiments):
        every = {place: record for place, record in found.items() if place.parts[0] == name}
        every |= {p: records.read(path, runs.SCHEMA, runs.KEYS) for p, path in staying.items() if p.parts[0] == name}
        kinds = {(record["dataset"]["digest"], record["provenance"].get("source")) for record in every.values()}
        if len(kinds) > 1:
            raise KeepError(
                f"{name}: records of {len(kinds)} kinds of data or source, which must not be compared; "
                "--replace keeps the new ones only"
            )
    others = sum(path.stat().st_size for path in out.rglob("*.json") if path.relative_to(out) not in old)
    size = (
        others + sum(map(len, map(str.encode, texts.values()))) + sum(path.stat().st_size for path in staying.values())
    )
    if size > megabytes * 2**20:
        raise KeepError(f"{out} would hold {size / 2**20:.1f} MiB, more than {megabytes}; name fewer --experiments")
    for place, text in texts.items():
        records.write_bytes(out / place, text.encode())
    if replace:  # last, so that a full disk or an interrupt loses nothing
        for place, path in old.items():
            if place not in found:
                path.unlink()
        for folder in {path.parent for path in old.values()}:
            if not any(folder.iterdir()):
                folder.rmdir()
    return size


def main(argv: list[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=ROOT / "_build/paper/runs")
    parser.add_argument("--out", type=Path, default=ROOT / "results/paper")
    parser.add_argument("--profile", type=Path, default=ROOT / f"profiles/{PROFILE}.yml")
    parser.add_argument("--experiments", nargs="+", help="only these")
    parser.add_argument("--replace", action="store_true", help="records kept earlier of these experiments go")
    parser.add_argument(
        "--megabytes", type=float, default=MEGABYTES, help="that the folder may hold (default: %(default)s)"
    )
    given = parser.parse_args(argv)
    try:
        found = collect(given.runs, settings.read(given.profile), given.experiments)
        size = keep(found, given.out, given.replace, given.megabytes)
    except ValueError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"cannot write to {given.out}: {error.strerror or error}")
    variants = {place.parent for place in found}
    print(f"kept {len(found)} runs of {len(variants)} variants in {given.out}, which holds {size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
