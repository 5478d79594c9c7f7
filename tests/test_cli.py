"""The command line as a user meets it: output, exit codes, one line on bad input."""

import json
import os
import subprocess
import sys

import pytest

from mmfusion import cli


def mmfusion(*arguments, **more):
    environment = {**os.environ, **more}
    return subprocess.run(
        [sys.executable, "-m", "mmfusion.cli", *map(str, arguments)], capture_output=True, text=True, env=environment
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    done = mmfusion("data", "pick-and-place", "--frames", 20, "--size", 16, "--seed", 5, "--out", folder)
    return folder, done


@pytest.mark.parametrize("command", [[], ["data"], ["claims"]])
def test_help_answers_without_heavy_imports(command):
    text = "import sys; from mmfusion.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
    text += "sys.exit('heavy' if {'torch', 'numpy', 'mujoco'} & set(sys.modules) else 0)"
    done = subprocess.run([sys.executable, "-c", text, *command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: mmfusion" in done.stdout


def test_data_writes_a_file_and_says_what_it_is(made):
    from mmfusion.data import load

    folder, done = made
    assert done.returncode == 0, done.stderr
    (path,) = folder.iterdir()
    dataset = load("pick-and-place", folder, frames=20, size=16, seed=5)
    facts = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert facts["file"] == str(path)
    assert facts["sha256"] == dataset.digest
    assert facts["frames"] == "20 in 1 episodes"
    assert facts["speed"].split()[1:] == ["frames/s,", "simulation", "included"]


def test_a_second_run_keeps_the_file(made, capsys):
    folder, _ = made
    (path,) = folder.iterdir()
    before = path.stat().st_mtime_ns
    assert cli.main(["data", "pick-and-place", *"--frames 20 --size 16 --seed 5 --out".split(), str(folder)]) == 0
    assert "was there already" in capsys.readouterr().out
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("data", "required: name"),
        ("data welding", "unknown data set 'welding'; known: pick-and-place"),
        ("data pick-and-place --frames 0", "wanted a whole number of at least 1, got '0'"),
        ("data pick-and-place --frames many", "got 'many'"),
        ("data pick-and-place --size 4", "at least 8, got '4'"),
        ("data pick-and-place --seed -1", "at least 0, got '-1'"),
        ("data pick-and-place --colour red", "unrecognized arguments"),
        ("data pick-and-place --frames 1 --out /dev/null/x", "cannot write data to the folder /dev/null/x"),
        ("paint", "invalid choice: 'paint'"),
        ("claims --paper Z", "no claims of paper 'Z'; there are claims of A"),
        ("claims --records /dev/null/x", "no folder of claim records at /dev/null/x"),
        ("claims --claims /dev/null/x", "cannot read claims file"),
        ("bench --repeats 0", "wanted a whole number of at least 1, got '0'"),
        ("bench --size 64 --out x", "--size, --out measure a device: name it by --device"),
        ("bench --large welding", "unknown scene 'welding'; there are pick-and-place"),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(arguments, said):
    done = mmfusion(*arguments.split())
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_damaged_file_is_named(made, tmp_path):
    (path,) = made[0].iterdir()
    (tmp_path / path.name).write_bytes(path.read_bytes()[:500])
    done = mmfusion("data", "pick-and-place", *"--frames 20 --size 16 --seed 5".split(), MMFUSION_CACHE=str(tmp_path))
    assert done.returncode == 2 and path.name in done.stderr and done.stderr.count("\n") == 1
    assert (tmp_path / path.name).stat().st_size == 500


CLAIMS = """
- {id: X-1, kind: mathematical, where: Lemma 1, title: First, statement: "$1 = 1$", decided_by: algebra}
- {id: Y-1, kind: empirical, where: Table 1, title: Second, statement: better, decided_by: runs}
"""


@pytest.fixture
def ledger(tmp_path):
    (tmp_path / "claims.yml").write_text(CLAIMS)
    (tmp_path / "records").mkdir()
    return ["--claims", str(tmp_path / "claims.yml"), "--records", str(tmp_path / "records")]


def test_claims_without_evidence_are_not_yet_examined(ledger, capsys):
    assert cli.main(["claims", *ledger]) == 0
    out = capsys.readouterr().out
    assert "X-1  not yet examined" in out and "Second" in out
    assert "2 claims: 2 not yet examined" in out


def test_claims_of_one_paper_as_json(ledger, capsys):
    assert cli.main(["claims", "--paper", "X", "--json", *ledger]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["id"] == "X-1" and row["kind"] == "mathematical" and row["verdict"] == "not yet examined"
    assert {"corrected", "notebook", "evidence"} <= row.keys()


def test_claims_before_anything_ran_say_what_to_do(ledger, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["claims", *ledger[:2]]) == 0
    assert "make book" in capsys.readouterr().err


def test_every_claim_of_the_project_is_listed(capsys):
    from mmfusion.claims import Ledger

    assert cli.main(["claims", "--paper", "A", "--json"]) == 0
    listed = {row["id"] for row in json.loads(capsys.readouterr().out)}
    assert listed == {name for name, claim in Ledger.load().claims.items() if claim.paper == "A"}


def test_a_reader_that_goes_away_is_no_error():
    text = f'{sys.executable} -m mmfusion.cli claims --json | head -c 1; echo " ${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True)
    assert done.stdout.split()[-1] == "0" and done.stderr.count("Traceback") == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_output_that_cannot_be_written_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "mmfusion.cli", "claims"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "No space left" in done.stderr and "Traceback" not in done.stderr and "ignored" not in done.stderr


def test_an_interruption_ends_with_130(monkeypatch, capsys):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_claims", stop)
    assert cli.main(["claims"]) == 130
    assert capsys.readouterr().err == "mmfusion: interrupted\n"


def test_bench_gets_its_arguments(monkeypatch):
    import types

    seen = []
    bench = types.ModuleType("mmfusion.bench")
    bench.main = lambda argv: seen.extend(argv)
    monkeypatch.setitem(sys.modules, "mmfusion.bench", bench)
    monkeypatch.setattr("mmfusion.bench", bench, raising=False)
    assert cli.main(["bench", "--quick"]) == 0
    assert seen == ["--quick"]
