"""The bench of a device: operations counted two ways, switches kept where they pay, and a record of what was found."""

import json
import queue
import threading

import pytest
import torch

from mmfusion import bench, ceilings, cli, records, throughput
from mmfusion.models import PAPER_CHANNELS, PAPER_WIDTHS, specs_for
from mmfusion.throughput import Bench, Workload, flops_per_step

SMALL = Workload(size=16, channels=(4, 6), widths=(8, 5), sensor=40, fusion="sum", batch=4, samples=8)


def by_hand(size, channels, widths, sensor, blocks=1):
    """Operations of a step per sample: convolutions, transposed convolutions and linear layers, from their sizes."""
    sizes, coarse = [size], []
    for _ in channels:
        coarse.append((sizes[-1] - 3) // 2 + 1)
        sizes.append(coarse[-1])
    latent = channels[-1] * coarse[-1] ** 2
    pairs = list(zip((3, *channels), channels, strict=False))
    encoder = [2 * 25 * a * b * side**2 for (a, b), side in zip(pairs, coarse, strict=True)]
    perceptron = [2 * a * b for a, b in zip((sensor, *widths), (*widths, latent), strict=True)]
    # The mirror images; only what stands first in the decoders sees `blocks` latents side by side.
    decoder, back = list(encoder), list(perceptron)
    decoder[-1] *= blocks
    back[-1] *= blocks
    # Forward, gradient of the weights, and, but for data, gradient of the input.
    return 3 * sum(encoder + perceptron + decoder + back) - encoder[0] - perceptron[0]


@pytest.mark.parametrize(("fusion", "blocks"), [("sum", 1), ("concat", 2)])
def test_operations_are_those_of_the_closed_form(fusion, blocks):
    workload = throughput.replace(SMALL, fusion=fusion)
    counted = flops_per_step(workload.loop())
    assert counted == workload.batch * by_hand(16, (4, 6), (8, 5), 40, blocks)
    attended = flops_per_step(throughput.replace(SMALL, fusion="attention").loop())
    assert attended > counted


def test_the_papers_model_takes_44_6_billion_operations_a_sample():
    assert by_hand(256, PAPER_CHANNELS, PAPER_WIDTHS, 400) == pytest.approx(44.634e9, rel=1e-4)
    spec = specs_for({"camera": torch.empty(1, 3, 256, 256, device="meta")})["camera"]
    encoder = spec.encoder(spec.natural_latent).to("meta")
    given, total = torch.empty(1, 3, 256, 256, device="meta"), 0
    for layer in encoder:
        returned = layer(given)
        total += ceilings.layer_flops(layer, given.shape, returned.shape)
        given = returned
    assert total == pytest.approx(7.53e9, rel=0.01)


def test_a_compiled_loop_is_not_counted(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model, **options: torch.nn.Sequential(model))
    with pytest.raises(ValueError, match="counted on a loop without compilation"):
        flops_per_step(SMALL.loop(compile=True))


def test_speed_is_time_per_sample():
    found = throughput.speed(SMALL.loop(), 0.05)
    assert found["images_per_s"] == pytest.approx(4 / found["step_s"])
    assert found["images_per_s_epoch"] == pytest.approx(8 / found["epoch_s"])
    assert found["peak_bytes"] > 2**20 and found["host_waits"] is None


def test_a_call_is_timed_by_its_median():
    calls = []
    took = ceilings.seconds_per_call(lambda: calls.append(0), torch.device("cpu"), 0.01)
    assert 0 < took < 1e-3 and len(calls) > 10


def test_matrix_products_and_copies_have_a_rate():
    rates = ceilings.matrix_rates(torch.device("cpu"), (32, 64), 0.01)
    assert set(rates) == {"bf16", "fp32"} and all(1e6 < rate < 1e14 for rate in rates.values())
    assert 1e6 < ceilings.copy_rate(torch.device("cpu"), 2**20, 0.01) < 1e13
    assert torch.backends.cuda.matmul.allow_tf32 is False


def test_every_layer_is_timed_by_itself():
    loop = SMALL.loop()
    batch = {name: tensor[:4] for name, tensor in loop.train_set.items()}
    rows = ceilings.layer_table(loop.model, batch, loop.device, 0.01, True)
    assert {row["layer"] for row in rows} == {
        *(f"encoders.camera.{i}" for i in (0, 2)), *(f"decoders.camera.{i}" for i in (1, 3)),
        *(f"{part}.sensor.{i}" for part in ("encoders", "decoders") for i in (0, 2, 4)),
    }  # fmt: skip
    # Fusion by addition has no products of its own: the layers are all there is.
    assert sum(row["flops"] for row in rows) == flops_per_step(loop)
    times = [row["forward_s"] + row["backward_s"] for row in rows]
    assert times == sorted(times, reverse=True) and times[-1] > 0


def fixed(monkeypatch, rates):
    """A bench whose steps have the given speeds, and the settings it tried."""
    tried = []

    def step(self, name, workload, switches):
        tried.append((name, dict(switches)))
        return {"images_per_s": rates[name]} if rates[name] else None

    monkeypatch.setattr(Bench, "step", step)
    return tried


def test_a_switch_that_pays_stays_on(monkeypatch):
    speeds = {"single precision": 100, "+ bfloat16": 150, "+ channels-last": 151, "+ timed": None, "+ compiled": 200}
    tried = fixed(monkeypatch, speeds)
    kept = Bench(SMALL, 0.1, 1, None).climb(["bfloat16", "channels-last", "timed", "compiled"])
    assert kept == {"channels_last": False, "mixed_precision": True, "compile": True}
    assert tried[2][1] == {"channels_last": True, "mixed_precision": True}
    assert tried[4][1] == kept


def test_no_time_left_and_failures_are_recorded(tmp_path, monkeypatch, capsys):
    path = tmp_path / "found.json"
    late = Bench(SMALL, 0.1, 0, path)
    assert late.climb(["bfloat16"]) == {"channels_last": False}
    late.rest({}, [8], [2], True)
    late.summary(10, 100, 2)
    record = records.read(path, throughput.SCHEMA)
    assert record["steps"] == [] and {item["why"] for item in record["skipped"]} == {"no time left"}
    assert {"single precision", "+ bfloat16", "layers", "batch 8", "2 at once"} == {
        item["what"] for item in record["skipped"]
    }

    def full(*_):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(throughput, "speed", full)
    bench_ = Bench(SMALL, 0.1, 1, path)
    bench_.found["matrix_flop_per_s"] = {"bf16": 1.0, "fp32": 1.0}
    assert bench_.step("wide", SMALL, {}) is None
    assert records.read(path, throughput.SCHEMA)["skipped"][0]["why"] == "OutOfMemoryError: no room"
    assert "wide" in capsys.readouterr().out


ARGUMENTS = (
    "--device cpu --size 16 --channels 4 4 --widths 8 --sides 32 --seconds 0.05 --switches bfloat16 channels-last"
).split()


def test_the_command_finds_everything_and_writes_it_down(tmp_path, capsys):
    path = tmp_path / "found.json"
    assert bench.main([*ARGUMENTS, "--batch", "4", "8", "--out", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["schema"] == "throughput/1" and not found["skipped"]
    assert [row["name"] for row in found["steps"]] == [
        "single precision", "+ bfloat16", "+ channels-last", "batch 8",
    ]  # fmt: skip
    for row in found["steps"]:
        assert row["share"] == pytest.approx(row["flop_per_s"] / found["matrix_flop_per_s"][row["against"]])
        assert row["against"] == ("bf16" if row["switches"].get("mixed_precision") else "fp32")
    assert found["layers"] and found["measurement_s"] > 0 and found["measurement_peak_bytes"] > 2**20
    assert found["run_s"]["with_measurements"] > found["run_s"]["training"] > 0
    assert found["machine"]["torch"] and found["machine"]["device"] == "cpu"
    said = capsys.readouterr().out
    assert "model FLOP/s over the measured matrix-product rate" in said and "best: {" in said


def test_trials_share_the_device():
    found = throughput.together(SMALL, {"mixed_precision": True}, 2, 0.2)
    assert found["processes"] == 2 and len(found["each"]) == 2
    assert found["images_per_s_epoch"] == pytest.approx(sum(found["each"])) and min(found["each"]) > 0


def test_a_trial_that_fails_says_why_and_stops_the_others():
    barrier, answers = threading.Barrier(2), queue.Queue()
    throughput._trial(throughput.replace(SMALL, fusion="none"), {}, barrier, answers, 0.1)
    assert answers.get().startswith("ValueError: unknown fusion 'none'") and barrier.broken
    throughput._trial(SMALL, {}, barrier, answers, 0.1)
    assert answers.get().startswith("BrokenBarrierError")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--switches warp", "unknown switches ['warp']; there are ['bfloat16', 'channels-last', 'timed', 'compiled'"),
        ("--device cuda:99", "no device 'cuda:99'"),
        ("--fusion none", "unknown fusion 'none'"),
        ("--size 4", "wanted a whole number of at least 8"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(capsys, given, said):
    try:
        code = cli.main(["bench", *ARGUMENTS, *given.split()])
    except SystemExit as stopped:
        code = stopped.code
    error = capsys.readouterr().err
    assert code == 2 and said in error and error.count("\n") == 1
