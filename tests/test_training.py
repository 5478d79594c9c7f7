import json
import math
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmfusion import records
from mmfusion.models import ImageSpec, MultimodalAutoencoder, VectorSpec
from mmfusion.objectives import reconstruction_errors, total_error
from mmfusion.training import Loop, Settings, check_seeds, find_device, train

SPECS = {"camera": ImageSpec(8, (3, 6)), "sensor": VectorSpec(6, (9,))}


def dataset(count=22, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(count, *spec.shape, generator=generator) for name, spec in SPECS.items()}


def model(fusion="attention", seed=0):
    torch.manual_seed(seed)
    return MultimodalAutoencoder(SPECS, fusion)


def settings(**changes):
    return Settings(**{"epochs": 4, "batch_size": 8, "measure_every": 2, "checkpoint_every": 1, **changes})


def corrupt(batch, generator):
    return {name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator) for name, tensor in batch.items()}


def run(net=None, options=None, seed=0, **keywords):
    return train(
        net or model(),
        dataset(),
        dataset(9, 1),
        options or settings(),
        seed,
        progress=False,
        **{"corrupt": corrupt, **keywords},
    )


def same_weights(first, second):
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_history():
    seen = []

    def measure(net, epoch):
        seen.append((epoch, net.training))
        torch.rand(3)
        return {"constant": epoch + 0.5, "unbounded": math.inf}

    result = run(measure=measure, options=settings(epochs=5))
    assert result.status == "finished" and result.diverged_at is None
    assert [entry["epoch"] for entry in result.history] == [0, 1, 2, 3, 4, 5]
    assert seen == [(0, False), (2, False), (4, False), (5, False)]
    assert result.history[4]["measures"] == {"constant": 4.5, "unbounded": None}
    assert result.history[3]["measures"] == {}
    for entry in result.history:
        for part in ("train", "test"):
            errors = entry[part]
            assert set(errors) == {"camera", "sensor", "total"}
            assert errors["total"] == pytest.approx(errors["camera"] + errors["sensor"], rel=1e-5)
    assert not result.model.training


@pytest.mark.parametrize("fusion", ["sum", "attention-plain", "attention-regularised"])
def test_it_learns(fusion):
    result = run(model(fusion), settings(epochs=30, learning_rate=0.01))
    assert result.history[-1]["train"]["total"] < 0.5 * result.history[0]["train"]["total"]


def test_it_is_the_loop_that_one_would_write_by_hand():
    by_hand, data = model("concat"), dataset()
    optimiser = torch.optim.Adam(by_hand.parameters(), lr=1e-3)
    order = torch.Generator().manual_seed(7)
    for _ in range(3):
        for index in torch.randperm(22, generator=order).split(8):
            batch = {name: tensor[index] for name, tensor in data.items()}
            optimiser.zero_grad()
            total_error(reconstruction_errors(by_hand(batch), batch)).backward()
            optimiser.step()
    ours = run(model("concat"), settings(epochs=3), seed=7, corrupt=None).model
    for a, b in zip(by_hand.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_seed_decides_everything_and_the_caller_s_state_is_untouched():
    torch.manual_seed(123)
    before = torch.get_rng_state()
    nets = [model() for _ in range(3)]
    torch.set_rng_state(before)
    histories = [run(net, seed=seed).history for net, seed in zip(nets, (1, 1, 2), strict=True)]
    assert torch.equal(torch.get_rng_state(), before)
    assert histories[0] == histories[1] != histories[2]
    assert same_weights(nets[0], nets[1])


def test_measuring_does_not_disturb_the_run():
    assert [entry["test"] for entry in run().history] == [
        entry["test"] for entry in run(measure=lambda net, epoch: {"x": torch.rand(()).item()}).history
    ]


def test_inputs_are_corrupted_and_targets_are_not():
    received = []

    def spoil(batch, generator):
        received.append(len(batch["camera"]))
        return {name: torch.zeros_like(tensor) for name, tensor in batch.items()}

    net = model("sum")
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    history = run(net, settings(epochs=1, learning_rate=1e-12), corrupt=spoil).history
    assert history[0]["test"]["camera"] == pytest.approx(dataset(9, 1)["camera"].square().mean().item(), rel=1e-5)
    assert received == [9, 22, 22]


class Interruption(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 3])
@pytest.mark.parametrize("fusion", ["sum", "attention"])
def test_an_interrupted_run_continues_exactly(tmp_path, fusion, stop):
    def measure(net, epoch):
        return {"norm": sum(parameter.norm().item() for parameter in net.parameters())}

    def interrupted(net, epoch):
        if epoch == stop + 1:
            raise Interruption
        return measure(net, epoch)

    options = settings(measure_every=1)
    whole = run(model(fusion), options, measure=measure)
    path = tmp_path / "run.pt"
    with pytest.raises(Interruption):
        run(model(fusion), options, measure=interrupted, checkpoint=path, key="k")
    calls = []
    resumed = run(
        model(fusion, seed=99), options, checkpoint=path, key="k", measure=lambda n, e: calls.append(e) or measure(n, e)
    )
    assert calls == list(range(stop + 1, 5))
    assert resumed.history == whole.history
    assert same_weights(resumed.model, whole.model)


def test_a_checkpoint_of_another_run_is_not_used(tmp_path):
    path = tmp_path / "run.pt"
    run(options=settings(epochs=2), checkpoint=path, key="one")
    fresh = run(checkpoint=path, key="two")
    assert fresh.history == run().history


def test_a_finished_run_is_only_read_back(tmp_path):
    path = tmp_path / "run.pt"
    first = run(checkpoint=path, key="k")
    again = run(model(seed=5), checkpoint=path, key="k")
    assert again.history == first.history and same_weights(again.model, first.model)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_truncated_checkpoint_says_so(tmp_path, content):
    path = tmp_path / "run.pt"
    run(options=settings(epochs=1), checkpoint=path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ValueError, match="run.pt is truncated or not a checkpoint; delete it"):
        run(checkpoint=path)


def test_an_unwritable_checkpoint_says_so_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(records.RecordError, match="cannot write .*run.pt"):
        run(checkpoint=tmp_path / "file" / "run.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("fusion", ["sum", "attention"])
def test_divergence_is_detected_and_ends_the_run(fusion):
    result = run(model(fusion), settings(epochs=50, learning_rate=1e30))
    assert result.status == "diverged"
    assert result.diverged_at == len(result.history) < 50
    assert all(math.isfinite(value) for entry in result.history for value in entry["test"].values())


def test_divergence_is_not_checkpointed(tmp_path):
    path = tmp_path / "run.pt"
    result = run(options=settings(epochs=50, learning_rate=1e30), checkpoint=path)
    assert result.status == "diverged"
    if path.exists():
        assert len(torch.load(path, weights_only=True)["history"]) == result.diverged_at


def test_l2_penalty_shrinks_only_penalised_weights():
    plain, heavy = (run(options=settings(epochs=10, weight_l2=weight)).model for weight in (0.0, 1.0))
    norm = [sum(p.norm().item() for p in net.fusion.parameters()) for net in (plain, heavy)]
    assert norm[1] < 0.98 * norm[0]
    plain, heavy = (run(model("concat-matched"), settings(weight_l2=weight)).model for weight in (0.0, 1.0))
    assert same_weights(plain, heavy)


def test_the_penalty_may_apply_to_everything():
    nets = [run(model("sum"), settings(weight_l2=1.0, penalise=what)).model for what in ("fusion", "everything")]
    norms = [sum(p.square().sum().item() for p in net.parameters()) for net in nets]
    assert norms[1] < 0.98 * norms[0]
    assert same_weights(nets[0], run(model("sum")).model)


def test_what_is_watched_is_asked_every_epoch_and_joins_the_measures():
    def watch(net, epoch):
        assert not net.training
        return {"cheap": epoch}

    history = run(watch=watch, measure=lambda net, epoch: {"dear": -epoch}, options=settings(epochs=3)).history
    cheap = [{"cheap": float(epoch)} for epoch in range(4)]
    assert [entry["measures"] for entry in history] == [
        cheap[0] | {"dear": 0.0}, cheap[1], cheap[2] | {"dear": -2.0}, cheap[3] | {"dear": -3.0},
    ]  # fmt: skip


def test_progress_bar(capsys):
    train(model(), dataset(), dataset(9, 1), settings(), 0)
    assert "epoch" in capsys.readouterr().err
    train(model(), dataset(), dataset(9, 1), settings(), 0, progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number from 1, got 0"),
        ({"batch_size": -3}, "batch_size must be a whole number from 1, got -3"),
        ({"measure_every": 0}, "measure_every"),
        ({"checkpoint_every": True}, "checkpoint_every must be a whole number from 1, got True"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be a finite number above 0, got nan"),
        ({"weight_l2": -1e-3}, "weight_l2 must be a finite number from 0, got -0.001"),
        ({"penalise": "all"}, r"penalise must be one of \['fusion', 'everything'\], got 'all'"),
        ({"algorithms": "fastest"}, "algorithms must be one of .'fixed', 'timed', 'free'., got 'fastest'"),
        ({"device": "tpu"}, "unknown device 'tpu'; wants cpu, cuda"),
        ({"device": "meta"}, "unknown device 'meta'"),
        ({"device": "cuda:99"}, "no device 'cuda:99'"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        Settings(**changes)


def test_defaults_are_those_of_the_paper():
    assert (Settings().epochs, Settings().batch_size, Settings().learning_rate) == (200, 64, 1e-3)
    assert find_device("cpu").type == "cpu"


@pytest.mark.parametrize("bad", [[], [-1], [0, 0], [0.5], [True], 3, "01", None])
def test_bad_seeds(bad):
    with pytest.raises(ValueError, match="seeds must be a list of distinct whole numbers from 0"):
        check_seeds(bad)


def test_good_seeds():
    assert check_seeds((3, 1)) == [3, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sensor": torch.full((22, 6), torch.nan)}, "'sensor' holds NaN"),
        ({"camera": torch.rand(22, 3, 9, 8)}, "'camera' has shape"),
        ({"sensor": torch.rand(21, 6)}, "same number of samples"),
    ],
)
def test_bad_data(change, message):
    with pytest.raises(ValueError, match=message):
        train(model(), dataset() | change, dataset(9, 1), settings(), 0, progress=False)


def test_empty_data():
    empty = {name: tensor[:0] for name, tensor in dataset().items()}
    with pytest.raises(ValueError, match="at least one sample"):
        train(model(), dataset(), empty, settings(), 0, progress=False)


def unlike(first, second):
    """Largest relative difference between two histories' test errors."""
    pairs = zip(first.history, second.history, strict=True)
    return max(abs(a["test"]["total"] / b["test"]["total"] - 1) for a, b in pairs)


@pytest.mark.parametrize("fusion", ["sum", "attention"])
def test_ways_to_be_faster_change_digits_and_not_the_outcome(monkeypatch, fusion):
    """Channels-last and bfloat16, alone and together, end where the plain run ends; the compiled model is stepped."""
    compiled = []

    def compiler(net, **options):
        compiled.append(options)
        return torch.nn.Sequential(net)

    monkeypatch.setattr(torch, "compile", compiler)
    plain = run(model(fusion), settings(channels_last=False))
    last = run(model(fusion), settings(channels_last=True))
    half = run(model(fusion), settings(mixed_precision=True))
    assert not compiled
    every = run(model(fusion), settings(channels_last=True, mixed_precision=True, compile=True))
    assert unlike(last, plain) < 1e-4
    assert 0 < unlike(half, plain) < 0.05 and 0 < unlike(every, plain) < 0.05
    assert compiled == [{"dynamic": False}]
    assert all(parameter.dtype == torch.float32 for parameter in every.model.parameters())
    convolution = every.model.encoders["camera"][0].weight
    assert convolution.is_contiguous(memory_format=torch.channels_last) and not convolution.is_contiguous()
    assert plain.model.encoders["camera"][0].weight.is_contiguous()


TRACED = """
import functools, json, sys, torch
from mmfusion.models import ImageSpec, MultimodalAutoencoder, VectorSpec
from mmfusion.training import Settings, train

torch.compile = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
specs = {"camera": ImageSpec(8, (3, 6)), "sensor": VectorSpec(6, (9,))}
data = {name: torch.rand(22, *spec.shape, generator=torch.Generator().manual_seed(1)) for name, spec in specs.items()}
found = []
for change in ({}, {"compile": True}, {"compile": True, "mixed_precision": True, "channels_last": True}):
    torch.manual_seed(0)
    model = MultimodalAutoencoder(specs, "attention")
    settings = Settings(epochs=3, batch_size=8, learning_rate=0.01, **change)
    found.append([entry["test"]["total"] for entry in train(model, data, data, settings, 0, progress=False).history])
print(json.dumps([found, torch._dynamo.utils.counters["stats"]["unique_graphs"]]))
"""


def test_the_whole_model_is_traced_and_trains_alike(tmp_path):
    """As a compiler would get it: one graph for full batches and one for the rest, derivatives included.

    In a process of its own, without the type checks that tests add; needs no compiler on this machine.
    """
    done = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    (plain, traced, every), graphs = json.loads(done.stdout.splitlines()[-1])
    assert graphs == 4
    assert traced == pytest.approx(plain, rel=1e-4) and plain[-1] < 0.9 * plain[0]
    assert every == pytest.approx(plain, rel=0.05)


@pytest.mark.parametrize(
    ("algorithms", "deterministic", "timed"), [("fixed", True, False), ("timed", True, True), ("free", False, True)]
)
def test_cudnn_stays_on_and_computes_as_the_settings_say(algorithms, deterministic, timed):
    cudnn, seen = torch.backends.cudnn, []

    def look(net, epoch):
        seen.append((cudnn.enabled, cudnn.deterministic, cudnn.benchmark))
        return {}

    before = (cudnn.enabled, cudnn.deterministic, cudnn.benchmark)
    run(options=settings(epochs=1, algorithms=algorithms), measure=look)
    assert seen == [(True, deterministic, timed)] * 2
    assert (cudnn.enabled, cudnn.deterministic, cudnn.benchmark) == before


class Reads(TorchDispatchMode):
    """Counts the operations for which the host has to wait for the device."""

    WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "_unique2", "bincount")

    def __init__(self):
        super().__init__()
        self.count = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in self.WAITS:
            self.count[name] = self.count.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("fusion", ["sum", "attention", "attention-regularised"])
def test_no_step_waits_for_the_device(fusion):
    loop = Loop(model(fusion), dataset(), dataset(9, 1), settings(weight_l2=1e-3), 0, corrupt)
    loop.model.train()
    batch = {name: tensor[:8] for name, tensor in dataset().items()}
    with Reads() as reads:
        loop.step(batch, batch)
        loop.epoch()
    assert not reads.count
    with Reads() as reads:
        assert batch["sensor"].sum().item() > 0 and len(batch["sensor"].nonzero())
    assert reads.count == {"_local_scalar_dense": 1, "nonzero": 1}


def test_adjust_sees_every_step_and_changes_weights():
    seen = []

    def freeze(model, epochs):
        seen.append(epochs)
        for parameter in model.parameters():
            parameter.zero_()

    result = run(options=settings(epochs=2, batch_size=8), adjust=freeze)
    assert seen == sorted(seen) and seen[-1] == 2 and len(seen) == 2 * -(-22 // 8)
    assert all(not parameter.any() for parameter in result.model.parameters())
