"""Three modalities through everything: data, damage, every fusion, training, measures, records, and back."""

import itertools
import math

import numpy as np
import pytest
import torch

from mmfusion import data, runs
from mmfusion.data import corruption
from mmfusion.data.dataset import MultimodalDataset
from mmfusion.experiment import Experiment
from mmfusion.fusion import FUSIONS, make_fusion
from mmfusion.measure.autoencoder import fusion_upper_bound, measure_autoencoder
from mmfusion.objectives import baseline_errors
from mmfusion.training import Settings

NAMES = ("camera", "sensor", "signal")
LATENT = 6
BLOCKWISE = [name for name in FUSIONS if name not in ("sum", "sum-scaled", "sum-wide")]


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    dataset = MultimodalDataset(
        modalities={
            "camera": rng.integers(0, 255, (40, 8, 8, 3), dtype=np.uint8),
            "sensor": rng.normal(3, 2, (40, 4, 3)).astype(np.float32),
            "signal": rng.normal(0, 5, (40, 4, 5)).astype(np.float32),
        },
        episode=np.repeat(np.arange(8), 5), channels={"sensor": tuple("abc"), "signal": tuple("vwxyz")},
        digest="d" * 64, parameters={},
    )  # fmt: skip
    train, test = dataset.split(0.25)
    standardiser = data.Standardiser.fit(train)
    return train.tensors(standardiser), test.tensors(standardiser), dataset.widths


def latents(seed=0, count=5, names=NAMES, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, LATENT, generator=generator, dtype=dtype) for name in names}


def operator(fusion, names=NAMES):
    torch.manual_seed(0)
    return make_fusion(fusion, names, LATENT).double().eval()


def permuted(fusion, order):
    """The operator for modalities in another order, each with the weights that it had."""
    original = operator(fusion)
    other = operator(fusion, [NAMES[k] for k in order])
    state = original.state_dict()
    for key, value in state.items():
        if value.ndim and len(value) == len(NAMES):
            state[key] = value[list(order)]
    other.load_state_dict(state)
    return original, other


def test_from_data_to_record_and_back(parts, tmp_path):
    train_set, test_set, widths = parts
    assert list(train_set) == list(NAMES) and widths == {"sensor": 3, "signal": 5}
    points = {name: tensor[:2] for name, tensor in test_set.items()}
    variants = ("sum", "concat", "attention")
    for fusion, seed in itertools.product(variants, (0, 1)):
        runs.run(
            {"name": "toy", "digest": "d" * 64}, train_set, test_set, fusion, seed,
            Settings(epochs=2, batch_size=8, measure_every=1, weight_l2=1e-5), channels=(3, 2), widths=(5,),
            severity=0.3, corrupt=lambda batch, generator: corruption.corrupt(batch, 0.3, generator, channels=widths),
            measure=lambda model, epoch: measure_autoencoder(model, points, samples=2, iterations=3, pairs=4, probes=2),
            folder=tmp_path, experiment="three", progress=False,
        )  # fmt: skip
    found = Experiment.read(tmp_path, "three", variants)
    assert found.modalities == list(NAMES)
    for record in found.found:
        assert record["status"] == "finished"
        assert record["baseline"] == pytest.approx(baseline_errors(train_set, test_set))
        last = record["history"][-1]
        for kind in ("train", "test"):
            assert last[kind]["total"] == pytest.approx(sum(last[kind][name] for name in NAMES), rel=1e-5)
        parts_of = {f"{part}/{name}/lower" for part in ("encoder", "decoder") for name in NAMES}
        assert parts_of <= last["measures"].keys()
        assert 0 < last["measures"]["end_to_end/lower"] <= last["measures"]["end_to_end/upper"]
    model = found.model("attention", 1)
    restored = model(test_set)
    assert {name: rows.shape for name, rows in restored.items()} == {n: rows.shape for n, rows in test_set.items()}
    assert model.fusion.fused_features == 3 * model.latent


@pytest.mark.parametrize("missing", NAMES)
@pytest.mark.parametrize("fusion", ["sum", "concat", "attention"])
def test_a_missing_modality_is_named(parts, fusion, missing):
    model = runs.build(parts[0], fusion, 0, channels=(3, 2), widths=(5,))
    given = {name: rows for name, rows in parts[1].items() if name != missing}
    with pytest.raises(ValueError, match=f"the batch lacks '{missing}'$"):
        model(given)


def test_three_have_coefficients_of_their_own_and_two_share_one():
    three, two = operator("attention"), operator("attention", NAMES[:2])
    found = three.coefficients(latents())
    gaps = [float((found[:, i] - found[:, j]).abs().max()) for i, j in itertools.combinations(range(3), 2)]
    assert min(gaps) > 1e-3
    shared = two.coefficients(latents(names=NAMES[:2]))
    assert torch.allclose(shared[:, 0], shared[:, 1], atol=0, rtol=1e-12)


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_another_order_of_modalities_only_reorders_the_blocks(fusion, order):
    original, other = permuted(fusion, order)
    given = latents()
    before, after = original(given), other(given)
    if fusion in BLOCKWISE:
        before = before.unflatten(1, (3, LATENT))[:, list(order)].flatten(1)
    assert torch.allclose(after, before, rtol=1e-12, atol=1e-14)
    if hasattr(original, "coefficients"):
        assert torch.allclose(other.coefficients(given), original.coefficients(given)[:, list(order)], rtol=1e-12)
    assert fusion_upper_bound(other, given) == pytest.approx(fusion_upper_bound(original, given), rel=1e-9)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_mapping_s_own_order_does_not_matter(parts, fusion):
    model = runs.build(parts[0], fusion, 0, channels=(3, 2), widths=(5,)).eval()
    turned = {name: parts[1][name] for name in reversed(NAMES)}
    straight = model(parts[1])
    assert all(torch.equal(rows, straight[name]) for name, rows in model(turned).items())


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_bound_of_the_fusion_holds_for_three(fusion):
    """The exact norm of the Jacobian at every point stays below; linear fusions attain it."""
    fuse, given = operator(fusion), latents(3, count=4)
    bound, norms = fusion_upper_bound(fuse, given), []
    for index in range(4):
        point = torch.cat([rows[index] for rows in given.values()])
        jacobian = torch.autograd.functional.jacobian(
            lambda x: fuse({name: part[None] for name, part in zip(NAMES, x.split(LATENT), strict=True)})[0], point
        )
        norms.append(float(torch.linalg.matrix_norm(jacobian, ord=2)))
    assert 0 < max(norms) <= bound * (1 + 1e-9)
    if fusion in ("sum", "sum-scaled", "sum-wide", "concat", "concat-scaled", "concat-scalar", "concat-scalars"):
        assert max(norms) == pytest.approx(bound)
    expected = {"sum": math.sqrt(3), "sum-wide": 3.0, "concat": 1.0}
    assert bound == pytest.approx(expected.get(fusion, bound))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_measures_of_three_are_ordered(parts, fusion):
    """From below never exceeds from above, for every part, the fusion and the whole."""
    model = runs.build(parts[0], fusion, 0, channels=(3, 2), widths=(5,))
    points = {name: rows[:2] for name, rows in parts[1].items()}
    found = measure_autoencoder(model, points, samples=2, iterations=6, pairs=4, probes=2)
    names = [f"{part}/{name}" for part in ("encoder", "decoder") for name in NAMES] + ["fusion", "end_to_end"]
    assert {f"{name}/{side}" for name in names for side in ("lower", "upper")} <= found.keys()
    for name in names:
        assert 0 <= found[f"{name}/lower"] <= found[f"{name}/upper"] * (1 + 1e-4), name
    assert {f"gradient/{part}/{name}" for part in ("encoder", "decoder") for name in NAMES} <= found.keys()
