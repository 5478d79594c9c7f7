"""Measures of whole autoencoders: against dense Jacobians, under rescaling, and as evidence that does not disturb."""

import math

import pytest
import torch

from mmfusion import bounds
from mmfusion.fusion import FUSIONS, Concat, NormalisedAttention, make_fusion
from mmfusion.measure import autoencoder as measures
from mmfusion.measure.attack import ascend
from mmfusion.models import MultimodalAutoencoder
from mmfusion.models.encoders import ImageSpec, VectorSpec

BIASED = ("attention-plain", "attention", "attention-original", "concat-matched")
LEARNED = ("concat-scalar", "concat-scalars")
SPECS = {"camera": ImageSpec(15, channels=(4, 6)), "sensor": VectorSpec(7, widths=(9,))}


def build(fusion="concat", seed=0, **options):
    torch.manual_seed(seed)
    return MultimodalAutoencoder(SPECS, fusion, **options).double()


def batch(count=8, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {
        "camera": torch.rand(count, 3, 15, 15, dtype=torch.float64, generator=generator),
        "sensor": torch.randn(count, 7, dtype=torch.float64, generator=generator),
    }


def flat_forward(model, sample):
    sizes = [tensor.numel() for tensor in sample.values()]

    def f(x):
        named = zip(sample.items(), x.split(sizes), strict=True)
        out = model({name: part.reshape(1, *tensor.shape[1:]) for (name, tensor), part in named})
        return torch.cat([tensor.flatten() for tensor in out.values()])

    return f, torch.cat([tensor.flatten() for tensor in sample.values()])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_is_measured_and_bounded(fusion):
    model = build(fusion)
    found = measures.measure_autoencoder(model, batch(), samples=4)
    wanted = {f"{part}/{name}/{kind}" for part in ("encoder", "decoder") for name in SPECS
              for kind in ("lower", "upper", "frobenius", "algorithm1")}  # fmt: skip
    wanted |= {"fusion/lower", "fusion/upper", "end_to_end/lower", "end_to_end/upper", "end_to_end/algorithm1"}
    wanted |= {"product/lower", "gradient/encoder", "gradient/decoder"}
    wanted |= {f"gradient/{part}/{name}" for part in ("encoder", "decoder") for name in SPECS}
    assert set(found) == wanted
    assert all(math.isfinite(value) and value >= 0 for value in found.values())
    for key in wanted:
        if key.endswith("/upper"):
            assert found[key.replace("upper", "lower")] <= found[key]
    for part in ("encoder", "decoder"):
        for name in SPECS:
            assert found[f"{part}/{name}/algorithm1"] <= found[f"{part}/{name}/upper"]


@pytest.mark.parametrize("fusion", ["sum", "attention"])
def test_end_to_end_reaches_the_norm_of_the_dense_jacobian(fusion):
    model = build(fusion).eval()
    data = batch(2)
    found = measures.measure_autoencoder(model, data, samples=2, iterations=150, upper=False)
    exact = 0.0
    for index in range(2):
        f, x = flat_forward(model, {name: tensor[index : index + 1] for name, tensor in data.items()})
        exact = max(exact, float(torch.linalg.matrix_norm(torch.func.jacfwd(f)(x).detach(), ord=2)))
    assert found["end_to_end/lower"] == pytest.approx(exact, rel=1e-3)


def test_gradient_constants_equal_the_norm_of_the_dense_mixed_derivative():
    model = build("sum")
    data = batch(1)
    found = measures.gradient_constants(model, data, iterations=200)
    f, x = flat_forward(model, data)
    x = x.requires_grad_(True)
    error = (x - f(x)).square().sum()
    for part, modules in (("encoder", model.encoders), ("decoder", model.decoders)):
        for name in SPECS:
            gradient = torch.autograd.grad(error, list(modules[name].parameters()), create_graph=True)
            rows = torch.cat([piece.flatten() for piece in gradient])
            (mixed,) = torch.autograd.grad(
                rows, x, torch.eye(len(rows), dtype=x.dtype), retain_graph=True, is_grads_batched=True
            )
            exact = float(torch.linalg.matrix_norm(mixed, ord=2))
            assert found[f"gradient/{part}/{name}"] == pytest.approx(exact, rel=1e-2)
    assert found["gradient/encoder"] == max(found["gradient/encoder/camera"], found["gradient/encoder/sensor"])


def test_rescaling_the_latent_moves_the_parts_and_not_the_whole():
    model, data = build("concat"), batch()
    before = measures.measure_autoencoder(model, data, iterations=60, upper=False)
    epsilon = 1e-2
    with torch.no_grad():
        for name in SPECS:
            encoder = [layer for layer in model.encoders[name] if hasattr(layer, "weight")][-1]
            encoder.weight *= epsilon
            encoder.bias *= epsilon
            decoder = [layer for layer in model.decoders[name] if hasattr(layer, "weight")][0]
            decoder.weight /= epsilon
    after = measures.measure_autoencoder(model, data, iterations=60, upper=False)
    for name in SPECS:
        assert after[f"encoder/{name}/lower"] == pytest.approx(epsilon * before[f"encoder/{name}/lower"], rel=1e-2)
        assert after[f"decoder/{name}/lower"] == pytest.approx(before[f"decoder/{name}/lower"] / epsilon, rel=1e-2)
    for key in ("end_to_end/lower", "product/lower"):
        assert after[key] == pytest.approx(before[key], rel=1e-2)


def test_measuring_changes_nothing_and_repeats_exactly():
    model, data = build("attention").train(), batch()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    first = measures.measure_autoencoder(model, data, samples=2)
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert first == measures.measure_autoencoder(model, data, samples=2)


def test_exact_and_probed_frobenius_norms_agree():
    model, data = build("sum"), batch()
    exact = measures.measure_autoencoder(model, data, samples=2, probes=None, upper=False)
    probed = measures.measure_autoencoder(model, data, samples=2, probes=400, upper=False)
    for key in (f"{part}/{name}/frobenius" for part in ("encoder", "decoder") for name in SPECS):
        assert probed[key] == pytest.approx(exact[key], rel=0.2)


def test_dead_networks_have_constant_zero():
    model = build("sum")
    with torch.no_grad():
        for parameter in model.encoders.parameters():
            parameter.zero_()
    found = measures.measure_autoencoder(model, batch(), samples=2)
    assert found["end_to_end/lower"] == found["encoder/camera/lower"] == found["gradient/encoder/sensor"] == 0.0


@pytest.mark.parametrize(("name", "bias"), [*((name, False) for name in FUSIONS), *((n, True) for n in BIASED)])
def test_fusion_bound_holds_at_random_latents(name, bias):
    generator = torch.Generator().manual_seed(4)
    options = {"bias": True} if bias else {}
    fusion = make_fusion(name, ["a", "b", "c"], 5, **options).double().eval()
    latents = {key: torch.randn(6, 5, dtype=torch.float64, generator=generator) for key in "abc"}
    bound = measures.fusion_upper_bound(fusion, latents)
    for index in range(6):
        jacobian = torch.autograd.functional.jacobian(
            lambda v: fusion({key: row[None] for key, row in zip("abc", v.split(5), strict=True)})[0],
            torch.cat([latents[key][index] for key in "abc"]),
        )
        assert float(torch.linalg.matrix_norm(jacobian, ord=2)) <= bound * (1 + 1e-9)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", ["sum", "concat", "sum-scaled", "concat-scaled", *LEARNED, "sum-wide"])
def test_bounds_of_linear_operators_are_attained(name, count):
    """An adversary who chooses the disturbance reaches the bound, and nothing beyond it."""
    generator = torch.Generator().manual_seed(5)
    names = ["a", "b", "c"][:count]
    fusion = make_fusion(name, names, 4).double()
    if name in LEARNED:
        with torch.no_grad():
            fusion.scalars.copy_(torch.tensor([0.7, -2.5, 1.1])[: len(fusion.scalars)])
    bound = measures.fusion_upper_bound(fusion, {key: torch.zeros(1, 4, dtype=torch.float64) for key in names})

    def gain(p):
        fused = fusion(dict(zip(names, p["h"].unbind(1), strict=True)))
        return fused.norm(dim=1) / p["h"].flatten(1).norm(dim=1)

    start = {"h": torch.randn(8, count, 4, dtype=torch.float64, generator=generator)}
    found = ascend(gain, start, steps=300, learning_rate=0.1)
    assert float(found.values.max()) <= bound * (1 + 1e-12)
    assert float(found.values.max()) == pytest.approx(bound, rel=1e-4)
    if name == "sum-wide":
        assert bound == pytest.approx(count)


def test_fusion_bound_with_one_layer_is_the_closed_form():
    latents = {"a": torch.tensor([[2.0, 0, 0, 0]]), "b": torch.tensor([[0.0, 0.5, 0, 0]])}
    unit = NormalisedAttention(["a", "b"], 4)
    assert measures.fusion_upper_bound(unit.eval(), latents) == pytest.approx(3 / (2 * 0.5))
    original = NormalisedAttention(["a", "b"], 4, scale_output="original")
    expected = bounds.normalised_attention_lipschitz_original(4.0, 4)
    assert measures.fusion_upper_bound(original.eval(), latents) == pytest.approx(expected)


def test_fusion_bound_refuses_what_it_does_not_know():
    latents = {key: torch.ones(2, 4) for key in "ab"}

    class Other(Concat.__base__):
        pass

    with pytest.raises(TypeError, match="Other"):
        measures.fusion_upper_bound(Other(["a", "b"], 4), latents)


def test_bad_input_is_refused():
    model = build()
    with pytest.raises(ValueError, match="samples must be at least 1"):
        measures.measure_autoencoder(model, batch(), samples=0)
    with pytest.raises(ValueError, match="empty"):
        measures.measure_autoencoder(model, {name: tensor[:0] for name, tensor in batch().items()})
    with pytest.raises(ValueError, match="sensor"):
        measures.measure_autoencoder(model, {**batch(), "sensor": torch.ones(8, 3, dtype=torch.float64)})
