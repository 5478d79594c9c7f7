"""The gate of paper C against its definition written out, and the bounds on its weights where they are attained."""

from __future__ import annotations

import math

import pytest
import torch

from mmfusion.dynamic_gate import DynamicGate, entropy, gate_lipschitz, least_weight, weight_range

NAMES = ["text", "sound", "image"]


def build(count=3, latent=4, **options):
    torch.manual_seed(0)
    return DynamicGate(NAMES[:count], latent, **options).double()


def vectors(count=3, latent=4, batch=5):
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(batch, latent, generator=generator, dtype=torch.float64) for name in NAMES[:count]}


def on_numbers(rising, falling, count=2, **options):
    """A gate on numbers with h(c) = rising · c above zero and falling · |c| below."""
    gate = DynamicGate(NAMES[:count], 1, hidden=2, **options).double()
    with torch.no_grad():
        gate.scorer[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        gate.scorer[0].bias.zero_()
        gate.scorer[2].weight.copy_(torch.tensor([[rising, falling]]))
    return gate


def by_hand(fusion, given):
    first, _, head = fusion.scorer
    scores = [torch.relu(code @ first.weight.mT + first.bias) @ head.weight[0] for code in given.values()]
    powers = [score.exp() for score in scores]
    return sum(p[:, None] * code for p, code in zip(powers, given.values(), strict=True)) / sum(powers)[:, None]


@pytest.mark.parametrize("count", [2, 3])
def test_equations_by_hand_whatever_the_order(count):
    fusion, given = build(count), vectors(count)
    fused = fusion(given)
    assert fused.shape == (5, 4) == (5, fusion.fused_features)
    assert torch.allclose(fused, by_hand(fusion, given))
    assert torch.equal(fusion(dict(reversed(given.items()))), fused)
    weights = fusion.weights(given)
    assert weights.shape == (5, count) and torch.allclose(weights.sum(dim=1), torch.ones(5, dtype=torch.float64))
    assert torch.allclose(sum(weights[:, [i]] * given[name] for i, name in enumerate(NAMES[:count])), fused)


def test_every_weight_learns_and_is_saved():
    fusion = build(hidden=7)
    fusion(vectors()).square().sum().backward()
    parameters = dict(fusion.named_parameters())
    assert len(parameters) == 3 == len(fusion.state_dict())
    assert sum(p.numel() for p in parameters.values()) == 4 * 7 + 7 + 7
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters.values())
    copy = DynamicGate(NAMES, 4, hidden=7).double()
    copy.load_state_dict(fusion.state_dict())
    assert torch.equal(copy(vectors()), fusion(vectors()))


def test_exchanging_codes_exchanges_weights():
    fusion, given = build(), vectors()
    swapped = {"text": given["sound"], "sound": given["text"], "image": given["image"]}
    assert torch.allclose(fusion.weights(swapped), fusion.weights(given)[:, [1, 0, 2]])
    assert torch.allclose(fusion(swapped), fusion(given))


def test_temperature_runs_from_selection_to_average():
    given = vectors()
    plain = build()
    cold, hot = build(temperature=1e-3), build(temperature=1e9)
    best = plain.scores(torch.stack(list(given.values()), dim=1)).argmax(dim=1)
    assert torch.equal(cold.weights(given).argmax(dim=1), best) and (cold.weights(given).max(dim=1).values > 0.99).all()
    assert torch.allclose(hot(given), sum(given.values()) / 3)


def test_bound_keeps_weights_above_the_least():
    fusion = on_numbers(100.0, -100.0, count=3, bound=0.5)
    given = vectors(latent=1, batch=200)
    weights, least = fusion.weights(given), least_weight(3, 0.5)
    assert least == pytest.approx(1 / (1 + 2 * math.e))
    assert weights.min().item() == pytest.approx(least) and weights.min() >= least * (1 - 1e-12)
    assert fusion.scores(torch.stack(list(given.values()), dim=1)).abs().max() <= 0.5


def test_floor_keeps_weights_between_its_ends():
    fusion, plain = (on_numbers(100.0, -100.0, count=3, floor=floor) for floor in (0.2, 0.0))
    given = vectors(latent=1, batch=100)
    weights = fusion.weights(given)
    assert torch.allclose(weights, 0.2 + 0.4 * plain.weights(given))
    assert weights.min().item() == pytest.approx(0.2) and weights.max().item() == pytest.approx(1 - 2 * 0.2)


@pytest.mark.parametrize("floor", [0.0, 0.2])
def test_absent_modalities_have_no_say(floor):
    fusion, given = build(floor=floor), vectors()
    present = torch.tensor(
        [[True, True, True], [True, True, False], [False, True, True], [False, False, True]] + [[True] * 3]
    )
    weights = fusion.weights(given, present)
    assert (weights[~present] == 0).all() and torch.allclose(weights.sum(dim=1), torch.ones(5, dtype=torch.float64))
    assert (weights[present] >= floor - 1e-12).all()
    assert torch.allclose(weights[0], fusion.weights(given)[0]) and weights[3, 2].item() == pytest.approx(1)
    pair = build(2, floor=floor)
    pair.load_state_dict(fusion.state_dict())
    assert torch.allclose(weights[1, :2], pair.weights({name: given[name] for name in NAMES[:2]})[1])
    spoilt = {
        name: code.clone().masked_fill(~present[:, [i]], torch.nan) for i, (name, code) in enumerate(given.items())
    }
    assert torch.equal(fusion(spoilt, present), fusion(given, present))
    fusion(spoilt, present).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in fusion.parameters())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 0.0}, "temperature must be positive and finite, got 0"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"bound": 0.0}, "bound must be positive and finite, got 0"),
        ({"bound": -1.0}, "bound"),
        ({"floor": -0.1}, r"floor must lie in \[0, 1/3\)"),
        ({"floor": 1 / 3}, r"3 weights sum to one; got 0.333"),
        ({"floor": math.nan}, "floor"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        build(**options)


def test_modalities_shapes_and_masks_are_checked():
    with pytest.raises(ValueError, match="at least 2 modalities"):
        DynamicGate(["text"], 4)
    with pytest.raises(ValueError, match="latent must be at least 1"):
        DynamicGate(NAMES, 0)
    fusion, given = build(), vectors()
    with pytest.raises(ValueError, match="missing: \\['image'\\]"):
        fusion({name: given[name] for name in NAMES[:2]})
    with pytest.raises(ValueError, match="common batch"):
        fusion({**given, "sound": given["sound"][:3]})
    with pytest.raises(ValueError, match=r"boolean of shape \(5, 3\).*got torch.bool of shape \(5, 2\)"):
        fusion.weights(given, torch.ones(5, 2, dtype=torch.bool))
    present = torch.ones(5, 3, dtype=torch.bool)
    present[3] = False
    with pytest.raises(ValueError, match="1 have none, the first is 3"):
        fusion(given, present)


def test_entropy_counts_nats():
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1 / 3] * 3], dtype=torch.float64)
    assert torch.allclose(entropy(rows), torch.tensor([0.0, math.log(2), math.log(3)], dtype=torch.float64))


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_weight_range_is_attained_and_not_passed(count, share):
    least = share * math.log(count)
    low, high = weight_range(count, least)
    assert 0 <= low < 1 / count < high < 1
    for p in (low, high):
        row = torch.tensor([p, *[(1 - p) / (count - 1)] * (count - 1)], dtype=torch.float64)
        assert entropy(row).item() >= least - 1e-9
        assert p == 0 or entropy(row).item() == pytest.approx(least, abs=1e-9)
    assert (low == 0) == (least <= math.log(count - 1))
    sampled = torch.distributions.Dirichlet(torch.full((count,), 0.5, dtype=torch.float64)).sample((2000,))
    allowed = sampled[entropy(sampled) >= least]
    assert ((allowed >= low - 1e-9) & (allowed <= high + 1e-9)).all()


def test_ends_of_the_ranges():
    assert weight_range(3, 0) == (0.0, 1.0)
    assert weight_range(4, math.log(4)) == pytest.approx((0.25, 0.25), abs=1e-6)
    assert least_weight(2, 0) == 0.5 and least_weight(3, 1e6) == 0.0
    assert least_weight(3, 2.0, temperature=2.0) == pytest.approx(least_weight(3, 1.0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: least_weight(1, 1.0), "at least 2, got 1"),
        (lambda: least_weight(2, -1.0), "bound must not be negative"),
        (lambda: least_weight(2, 1.0, 0.0), "temperature must be positive"),
        (lambda: weight_range(1, 0.0), "at least 2"),
        (lambda: weight_range(2, 0.7), r"lies in \[0, 0.693147\], got 0.7"),
        (lambda: weight_range(2, -0.1), "lies in"),
        (lambda: gate_lipschitz(-1.0, 1.0), "must not be negative"),
        (lambda: gate_lipschitz(1.0, 1.0, floor=0.6), r"floor must lie in \[0, 1/2\]"),
    ],
)
def test_bounds_refuse_what_makes_no_sense(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_lipschitz_constant_is_attained_by_two(temperature):
    gate = on_numbers(2.0, 2.0, temperature=temperature)
    codes = torch.tensor([-3.0, 3.0], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda c: gate({"text": c[None, :1], "sound": c[None, 1:]}), codes)
    assert jacobian.norm().item() == pytest.approx(gate_lipschitz(2.0, 3.0, temperature=temperature))


def test_lipschitz_constant_is_not_passed():
    assert gate_lipschitz(0.1, 1.0) == 1.0
    assert gate_lipschitz(5.0, 1.0, count=3, floor=1 / 3) == pytest.approx(1 / math.sqrt(3))
    for floor in (0.0, 0.2):
        gate = build(floor=floor)
        first, _, head = gate.scorer
        slope = (torch.linalg.matrix_norm(head.weight, 2) * torch.linalg.matrix_norm(first.weight, 2)).item()
        batch = torch.stack(list(vectors(batch=100).values()), dim=1)
        batch = 2 * batch / batch.norm(dim=-1, keepdim=True)
        bound = gate_lipschitz(slope, 2.0, count=3, floor=floor)
        for codes in batch:
            jacobian = torch.autograd.functional.jacobian(
                lambda c, g=gate: g(dict(zip(NAMES, c[:, None], strict=True))), codes
            )
            assert torch.linalg.matrix_norm(jacobian.reshape(4, 12), 2) <= bound
