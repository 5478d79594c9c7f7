"""The pages on welding robots, on made-up runs whose outcome is known: verdicts follow the data both ways."""

import pytest

from tests.made_up_runs import run_page, write_runs

# The page is under test here; the modules that it uses have tests, and coverage, of their own.
pytestmark = pytest.mark.no_cover

VARIANTS = ["sum", "concat", "attention", "concat-scaled"]
SINGLE = "lipschitz/results-welding-single"


def of_one_robot(holds):
    """Factors on measures that bear out what the paper says of the parts, or turn it around."""
    turn = 1 if holds else -1

    def shape(variant, name, share):
        if name.startswith("encoder/camera"):
            slope = {"sum": 1.0, "concat": 0.5}.get(variant, 0.0)
            return {"sum": 4.0, "concat": 2.0}.get(variant, 1.0) ** turn * 10 ** (turn * slope * (share - 0.5))
        return 2.0**turn if name.startswith("encoder") else 1.0

    return shape


def single(folder, holds=True, **options):
    turn = 1 if holds else -1
    wins = {"level": {"attention": 0.02**turn}, "speed": {"attention": 2.0**turn}}
    options = {"shape": of_one_robot(holds), **wins} | options
    write_runs(folder, "welding-single", VARIANTS, epochs=8, **options)


def execute(monkeypatch, page, folder, **options):
    names, glued = run_page(monkeypatch, page, runs=str(folder), profile="smoke", **options)
    check = names["check"]
    return check, {claim: check.verdict(claim).verdict for claim in check.verdicts()}, glued


@pytest.mark.parametrize("modalities", [("camera", "sensor"), ("camera", "sensor", "signal")], ids=["two", "three"])
def test_one_robot_reproduced(tmp_path, monkeypatch, modalities):
    single(tmp_path, modalities=modalities)
    check, verdicts, glued = execute(monkeypatch, SINGLE, tmp_path, records=tmp_path / "claims")
    assert verdicts == {"A-S5.5": "reproduced", "A-S5.5enc": "reproduced"}
    assert glued["single_A-S5.5"] == "reproduced" and glued["single_seeds"] == 6
    assert float(glued["single_whole_concat"].split()[0]) == pytest.approx(50, rel=0.05)
    assert (tmp_path / "claims" / f"{SINGLE}.json").is_file()
    assert {item["data"] for item in check.items} == {"made-up, our simulated stand-in, 8 epochs"}


def test_one_robot_contradicted(tmp_path, monkeypatch):
    single(tmp_path, holds=False)
    _, verdicts, _ = execute(monkeypatch, SINGLE, tmp_path)
    assert verdicts == {"A-S5.5": "contradicted", "A-S5.5enc": "contradicted"}


@pytest.mark.parametrize(
    ("options", "broken"),
    [
        ({"level": {"attention": 0.2}}, "A-S5.5"),  # less sensitive, but by a factor of five
        ({"speed": {"attention": 0.9}}, "A-S5.5"),  # less sensitive, but slower
        ({"shape": lambda variant, name, share: of_one_robot(True)(variant, name, 0.5)}, None),  # no growth
    ],
    ids=["five times", "slower", "no growth"],
)
def test_one_robot_where_a_part_of_the_claim_fails(tmp_path, monkeypatch, options, broken):
    single(tmp_path, **options)
    _, verdicts, _ = execute(monkeypatch, SINGLE, tmp_path)
    if broken:
        assert verdicts == {"A-S5.5": "contradicted", "A-S5.5enc": "reproduced"}
    else:
        assert verdicts["A-S5.5"] == "reproduced" and verdicts["A-S5.5enc"] != "reproduced"


def test_one_robot_needs_five_seeds_and_its_control(tmp_path, monkeypatch):
    single(tmp_path, seeds=4)
    assert set(execute(monkeypatch, SINGLE, tmp_path)[1].values()) == {"inconclusive"}
    for path in (tmp_path / "welding-single" / "concat-scaled").glob("*.json"):
        path.unlink()
    with pytest.raises(ValueError, match="no run records of concat-scaled in experiment 'welding-single'"):
        execute(monkeypatch, SINGLE, tmp_path)


# ----------------------------------------------------------------------------------------------------- two robots
DUAL = "lipschitz/results-welding-dual"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def of_two_robots(holds):
    """The sensor's encoder leads, rises early, and more so under sum; or the other way around."""
    turn = 1 if holds else -1

    def shape(variant, name, share):
        if not name.startswith("encoder/sensor"):
            return 1.0
        height = {"sum": 1.0, "concat": 0.5}.get(variant, 0.0)
        return 2.0**turn * 10 ** (height * turn * (min(2 * share, 1.0) if holds else share**2))

    return shape


def dual(folder, data_root, holds=True, fluctuating=None, **options):
    """Records on a real, tiny data set, with the weights of untrained models."""
    from mmfusion import data
    from mmfusion.data.prepare import prepared

    recorded = data.load("pick-and-place", root=data_root, frames=120, size=16, progress=False)
    ready = prepared(recorded)
    turn = 1 if holds else -1
    fluctuating = fluctuating if fluctuating is not None else (("sum", "concat") if holds else ("attention",))
    write_runs(
        folder, "welding-dual", VARIANTS, epochs=8, shape=of_two_robots(holds), weights=True,
        level={"concat": 5.0 if holds else 40.0, "sum": 20.0, "attention": 50.0 ** (-turn), "concat-scaled": 1.0},
        dataset={"name": "pick-and-place", "digest": recorded.digest, "frames": 120, "size": 16, "seed": 0},
        shapes={name: list(rows.shape[1:]) for name, rows in ready.train_set.items()},
        samples={"train": len(ready.train), "test": len(ready.test)}, rough=dict.fromkeys(fluctuating, 0.3), **options,
    )  # fmt: skip


CLAIMS = ("A-S5.6", "A-S5.6enc", "A-S5.6loss")


@pytest.mark.parametrize("holds", [True, False])
def test_two_robots_both_ways(tmp_path, monkeypatch, data_root, holds):
    dual(tmp_path, data_root, holds)
    check, verdicts, glued = execute(monkeypatch, DUAL, tmp_path, data_root=data_root)
    assert verdicts == dict.fromkeys(CLAIMS, "reproduced" if holds else "contradicted")
    assert glued["dual_seed"] == 0 and glued["dual_data"] == "pick-and-place, our simulated stand-in"
    assert {item["data"] for item in check.items} == {f"{glued['dual_data']}, 8 epochs"}


def test_losses_without_fluctuation_decide_nothing(tmp_path, monkeypatch, data_root):
    dual(tmp_path, data_root, fluctuating=())
    assert execute(monkeypatch, DUAL, tmp_path, data_root=data_root)[1]["A-S5.6loss"] == "inconclusive"


def test_pictures_come_from_the_first_seed_that_finished(tmp_path, monkeypatch, data_root):
    dual(tmp_path, data_root, diverged={("concat", 0)})
    _, verdicts, glued = execute(monkeypatch, DUAL, tmp_path, data_root=data_root)
    assert glued["dual_seed"] == 1 and glued["dual_diverged"] == 1
    assert verdicts["A-S5.6"] == "reproduced"


def test_pictures_want_the_weights(tmp_path, monkeypatch, data_root):
    dual(tmp_path, data_root)
    (tmp_path / "welding-dual" / "attention" / "seed-0.pt").unlink()
    with pytest.raises(ValueError, match="no weights at .*seed-0.pt"):
        execute(monkeypatch, DUAL, tmp_path, data_root=data_root)
