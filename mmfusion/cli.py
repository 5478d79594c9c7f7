"""The command line: ``mmfusion data``, ``mmfusion claims``, ``mmfusion bench``.

Nothing heavy is imported before it is needed, so that ``--help`` answers at once. Exit code 0: done; 1: what was
found cannot be written; 2: bad input; 130: interrupted. Each but 0 comes with one line on standard error.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from mmfusion import __version__

RECORDS = Path("_build") / "quick" / "records" / "claims"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage is a `--help` away."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def at_least(least: int) -> Callable[[str], int]:
    """A type of argument: whole numbers from `least`."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < least:
            raise argparse.ArgumentTypeError(f"wanted a whole number of at least {least}, got {text!r}")
        return value

    return whole


def setting(text: str) -> tuple[str, int | float | str]:
    """A type of argument: NAME=VALUE, where a value that reads as a number is one."""
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise argparse.ArgumentTypeError(f"wanted NAME=VALUE, got {text!r}")
    for number in (int, float):
        try:
            return name, number(value)
        except ValueError:
            continue
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="mmfusion", description="Multimodal fusion, with every claim executed.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"mmfusion {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    data = commands.add_parser(
        "data", help="make or read a data set, and report on it", allow_abbrev=False,
        description="Simulate a data set and write it as one .npz file, or read a published one from your own folder; "
        "print the file, its hash and the speed, and for a published one what was found. A file of the same "
        "parameters that is already there is checked against its hash and kept.",
    )  # fmt: skip
    data.add_argument("name", nargs="?", help="which data set, such as pick-and-place or robomnist; --list names all")
    data.add_argument("--list", action="store_true", help="the names of all data sets, and nothing else")
    data.add_argument("--frames", type=at_least(1), default=500, help="pictures in all (default: %(default)s)")
    data.add_argument("--size", type=at_least(8), default=64, help="pixels per side (default: %(default)s)")
    data.add_argument("--seed", type=at_least(0), default=0, help="(default: %(default)s)")
    data.add_argument("--out", type=Path, help="generated: folder for the file (default: the user's cache folder)")
    data.add_argument("--root", type=Path, help="published: your folder with the data, which is only read")
    data.add_argument(
        "--option", type=setting, action="append", default=[], metavar="NAME=VALUE",
        help="published: what its reader lets you choose, such as camera=2; may be repeated",
    )  # fmt: skip
    data.add_argument("--quiet", action="store_true", help="no progress bar")

    claims = commands.add_parser(
        "claims", help="list the papers' claims and their derived verdicts", allow_abbrev=False,
        description="List every claim with the verdict derived from the records of the executed notebooks.",
    )  # fmt: skip
    claims.add_argument("--paper", help="only the claims of this paper: A, B, C or D")
    claims.add_argument("--json", action="store_true", help="everything, as JSON")
    claims.add_argument("--records", type=Path, help=f"folder of the claim records (default: {RECORDS})")
    claims.add_argument("--claims", type=Path, help="the claims file (default: claims.yml of this project)")

    commands.add_parser("bench", help="measure speed: ratios in one run", add_help=False)
    return parser


def _data(given: argparse.Namespace) -> None:
    if given.name is None and not given.list:
        raise ValueError("the following arguments are required: name (see mmfusion data --list)")
    from mmfusion.data import DATASETS, obtain, published

    if given.list:
        wide = max(map(len, [*DATASETS, *published.READERS]))
        for name in sorted(DATASETS):
            print(f"{name:{wide}}  generated")
        for name, reader in sorted(published.READERS.items()):
            print(f"{name:{wide}}  read from your folder (--root): {reader.source}")
        return
    if given.name in published.READERS and given.out is not None:
        raise ValueError(f"{given.name} is read from your folder: name that by --root; --out is for generated sets")
    if given.name in DATASETS and given.root is not None:
        raise ValueError(f"{given.name} is generated: choose its folder by --out; --root is for published sets")
    progress = False if given.quiet else None
    made = obtain(
        given.name, given.root or given.out, given.frames, given.size, given.seed, progress, dict(given.option)
    )
    dataset = made.dataset
    print(f"file      {made.path}")
    print(f"sha256    {dataset.digest}")
    print(f"frames    {len(dataset)} in {len(dataset.episodes)} episodes")
    if made.seconds is None:
        print("speed     was there already; its hash is right")
    else:
        what = "reading" if given.name in published.READERS else "simulation"
        print(f"speed     {len(dataset) / made.seconds:.0f} frames/s, {what} included")
    if given.name in published.READERS:
        from mmfusion.data.published.report import lines

        for name, array in dataset.modalities.items():
            print(f"{name:9} {array.dtype} {array.shape}")
        test = dataset.split(seed=given.seed)[1].episodes.tolist() if len(dataset.episodes) > 1 else ()
        print("\n".join(lines(dataset.parameters["report"], test)))


def _claims(given: argparse.Namespace) -> None:
    from mmfusion.claims import Ledger

    ledger = Ledger.load(given.claims)
    papers = sorted({claim.paper for claim in ledger.claims.values()})
    if given.paper is not None and given.paper not in papers:
        raise ValueError(f"no claims of paper {given.paper!r}; there are claims of {', '.join(papers)}")
    if given.records is not None and not given.records.is_dir():
        raise ValueError(f"no folder of claim records at {given.records}")
    folder = given.records or RECORDS
    if given.json:
        print(json.dumps(ledger.to_json(folder, given.paper), indent=1, ensure_ascii=False, default=str))
        return
    shown = [v for v in ledger.verdicts(folder).values() if given.paper in (None, v.claim.paper)]
    wide = max((len(v.claim.id) for v in shown), default=0)
    for verdict in shown:
        print(f"{verdict.claim.id:{wide}}  {verdict.label:24}  {verdict.claim.title}")
    counts = Counter(verdict.verdict for verdict in shown)
    print(f"\n{len(shown)} claims: " + ", ".join(f"{n} {name}" for name, n in counts.most_common()))
    if not folder.is_dir():
        print(f"no records at {folder} yet: `make book` writes them", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. ``argv`` defaults to the process's arguments."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        if argv[:1] == ["bench"]:
            from mmfusion import bench

            return int(bench.main(argv[1:]) or 0)
        given = _parser().parse_args(argv)
        {"data": _data, "claims": _claims}[given.command](given)
        sys.stdout.flush()
        return 0
    except OSError as error:
        # What is left in the buffer must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 0  # The reader of a pipe, such as `head`, has gone: nothing more to say.
        print(f"mmfusion: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mmfusion: interrupted", file=sys.stderr)
        return 130
    except ValueError as error:
        print("mmfusion: " + " ".join(str(error).split()), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
