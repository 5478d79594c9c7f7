import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch.func import functional_call

from mmfusion.fusion import (
    FUSIONS,
    BilinearAttention,
    Concat,
    Fusion,
    MatchedConcat,
    NormalisedAttention,
    ScalarConcat,
    Sum,
    make_fusion,
)

NAMES = ["camera", "sensor", "wifi", "sound"]
ATTENTIONS = [name for name in FUSIONS if name.startswith("attention")]


def inputs(modalities, latent, batch=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(batch, latent, generator=generator, dtype=dtype) for name in modalities}


def operator(name, count=3, latent=5, seed=0, **options):
    torch.manual_seed(seed)
    return make_fusion(name, NAMES[:count], latent, **options).double().eval()


counts = st.integers(2, 4)
latents = st.integers(1, 6)
seeds = st.integers(0, 10_000)


@pytest.mark.parametrize("name", FUSIONS)
@given(count=counts, latent=latents, seed=seeds)
@settings(max_examples=10, deadline=None)
def test_shape_and_order_of_blocks(name, count, latent, seed):
    fusion = operator(name, count, latent, seed)
    values = inputs(fusion.modalities, latent, seed=seed)
    fused = fusion(values)
    assert fused.shape == (3, fusion.fused_features)
    reordered = dict(reversed(values.items()))
    assert torch.equal(fusion(reordered), fused)


@pytest.mark.parametrize("name", FUSIONS)
@given(seed=seeds, order=st.permutations(range(3)))
@settings(max_examples=10, deadline=None)
def test_permuting_modalities_permutes_blocks(name, seed, order):
    """Relabelling the modalities, together with their maps, permutes the blocks of the output and changes no value."""
    fusion = operator(name, 3, 4, seed)
    values = inputs(fusion.modalities, 4, seed=seed)
    renamed = {NAMES[place]: values[NAMES[source]] for place, source in enumerate(order)}
    state = {key: tensor[list(order)] for key, tensor in fusion.named_parameters() if len(tensor) == len(order)}
    state |= {key: tensor[list(order)] for key, tensor in fusion.named_buffers() if "left_" in key or "right_" in key}
    permuted = functional_call(fusion, state, (renamed,))
    blocks = fusion(values).unflatten(1, (-1, 4))
    expected = blocks if isinstance(fusion, Sum) else blocks[:, list(order)]
    torch.testing.assert_close(permuted, expected.flatten(1))


def test_definition_by_hand():
    fusion = BilinearAttention(["a", "b", "c"], 4).double()
    values = inputs("abc", 4)
    stacked = [values[name] for name in "abc"]
    weights = fusion.score_maps.weights[0]
    blocks = []
    for i in range(3):
        scores = [((stacked[i] @ weights[i].T) * (stacked[j] @ weights[j].T)).sum(1) for j in range(3) if j != i]
        blocks.append(sum(scores)[:, None] / 2 * stacked[i])
    torch.testing.assert_close(fusion(values), torch.cat(blocks, dim=1))


def test_small_scores_survive_beside_large_vectors():
    fusion = BilinearAttention(["a", "b", "c"], 1)
    torch.nn.init.ones_(fusion.score_maps.weights[0])
    values = {"a": torch.tensor([[1e6]]), "b": torch.tensor([[1e-6]]), "c": torch.tensor([[1e-6]])}
    assert fusion.coefficients(values)[0, 0].item() == pytest.approx(1.0, rel=1e-6)


def test_linear_operators_and_scale():
    values = inputs("ab", 3)
    torch.testing.assert_close(Sum(["a", "b"], 3, scale=0.5)(values), 0.5 * (values["a"] + values["b"]))
    torch.testing.assert_close(Concat(["b", "a"], 3)(values), torch.cat([values["b"], values["a"]], 1))
    scaled, plain = make_fusion("concat-scaled", ["a", "b"], 3), make_fusion("concat", ["a", "b"], 3)
    torch.testing.assert_close(scaled(values) * math.sqrt(3), plain(values))


@pytest.mark.parametrize("layers", [1, 2])
@given(seed=seeds, count=counts, scale=st.floats(0.1, 10))
@settings(max_examples=15, deadline=None)
def test_cubic_homogeneity(layers, seed, count, scale):
    fusion = operator("attention-plain", count, 5, seed, layers=layers)
    values = inputs(fusion.modalities, 5, seed=seed)
    scaled = {name: scale * tensor for name, tensor in values.items()}
    torch.testing.assert_close(fusion(scaled), scale**3 * fusion(values), rtol=1e-9, atol=1e-9)


@given(seed=seeds, scale=st.floats(0.1, 10))
@settings(max_examples=15, deadline=None)
def test_unit_variant_is_blind_to_scale(seed, scale):
    values = inputs(NAMES[:3], 5, seed=seed)
    scaled = values | {"camera": scale * values["camera"]}
    unit, original = operator("attention", seed=seed), operator("attention-original", seed=seed)
    torch.testing.assert_close(unit(scaled), unit(values))
    torch.testing.assert_close(original.coefficients(scaled), original.coefficients(values))
    torch.testing.assert_close(original(scaled)[:, :5], scale * original(values)[:, :5])


@pytest.mark.parametrize("name", ATTENTIONS)
@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_two_modalities_share_one_coefficient(name, seed):
    fusion = operator(name, 2, 6, seed)
    coefficients = fusion.coefficients(inputs(fusion.modalities, 6, seed=seed))
    torch.testing.assert_close(coefficients[:, 0], coefficients[:, 1], rtol=1e-12, atol=1e-14)
    three = operator(name, 3, 6, seed)
    distinct = three.coefficients(inputs(three.modalities, 6, seed=seed))
    assert not torch.allclose(distinct[:, 0], distinct[:, 1])


@given(seed=seeds, count=counts, radius=st.floats(0.1, 3))
@settings(max_examples=25, deadline=None)
def test_lipschitz_bound_of_attention(seed, count, radius):
    fusion = operator("attention-plain", count, 3, seed, layers=1)
    norm = torch.linalg.matrix_norm(fusion.score_maps.weights[0], ord=2).max()
    pairs = [inputs(fusion.modalities, 3, batch=64, seed=seed + k) for k in range(2)]
    inside = [{k: radius * v / v.norm(dim=1, keepdim=True).clamp_min(1) for k, v in p.items()} for p in pairs]
    change = (fusion(inside[0]) - fusion(inside[1])).norm(dim=1)
    distance = torch.cat([inside[0][k] - inside[1][k] for k in fusion.modalities], dim=1).norm(dim=1)
    assert (change <= 3 * norm**2 * radius**2 * distance * (1 + 1e-9)).all()


def test_lipschitz_bound_of_attention_is_attained():
    fusion = BilinearAttention(["a", "b"], 2).double()
    torch.nn.init.zeros_(fusion.score_maps.weights[0])
    with torch.no_grad():
        fusion.score_maps.weights[0] += torch.eye(2)
    at = {name: torch.tensor([[1.0, 0.0]], dtype=torch.float64) for name in "ab"}
    near = {name: (1 - 1e-6) * tensor for name, tensor in at.items()}
    slope = (fusion(at) - fusion(near)).norm() / (math.sqrt(2) * 1e-6)
    assert slope.item() == pytest.approx(3, rel=1e-5)


@given(seed=seeds, count=counts)
@settings(max_examples=20, deadline=None)
def test_normalised_attention_bound(seed, count):
    fusion = operator("attention", count, 4, seed, layers=1)
    pairs = [inputs(fusion.modalities, 4, batch=64, seed=seed + k) for k in range(2)]
    smallest = torch.cat([tensor.norm(dim=1) for pair in pairs for tensor in pair.values()]).min()
    change = (fusion(pairs[0]) - fusion(pairs[1])).norm(dim=1)
    distance = torch.cat([pairs[0][k] - pairs[1][k] for k in fusion.modalities], dim=1).norm(dim=1)
    assert (change <= 2 / (smallest * math.sqrt(4)) * distance * (1 + 1e-9)).all()


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("which", [("camera",), ("camera", "sensor", "wifi")])
def test_safe_at_zero(name, layers, which):
    fusion = operator(name, layers=layers)
    values = inputs(fusion.modalities, 5)
    for modality in which:
        values[modality] = torch.zeros_like(values[modality])
    values = {key: tensor.requires_grad_() for key, tensor in values.items()}
    fused = fusion(values)
    (fused.sum() + fused.square().sum()).backward()
    gradients = [tensor.grad for tensor in values.values()] + [weight.grad for weight in fusion.parameters()]
    assert torch.isfinite(fused).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_eps_bounds_the_slope_near_zero():
    fusion = NormalisedAttention(["a", "b"], 1, eps=0.1)
    assert fusion.eps == 0.1
    near = {"a": torch.tensor([[0.01], [-0.01]]), "b": torch.ones(2, 1)}
    jump = (fusion(near)[0] - fusion(near)[1]).norm().item() / 0.02
    assert 0 < jump <= 3 / 0.1


def test_output_of_the_full_method_is_small():
    """Unit inputs, maps of norm one and 1/sqrt(d) cap the output at sqrt(n)/sqrt(d) (ledger A-S4.5.1d)."""
    fusion = operator("attention", 2, 16)
    fused = fusion({name: 100 * tensor for name, tensor in inputs(fusion.modalities, 16, batch=200).items()})
    assert fused.norm(dim=1).max() <= math.sqrt(2) / 4


@pytest.mark.parametrize("name", FUSIONS)
def test_gradients_match_finite_differences(name):
    fusion = operator(name, 2, 3)
    values = inputs(fusion.modalities, 3, batch=2)
    tensors = [tensor.requires_grad_() for tensor in values.values()]
    assert torch.autograd.gradcheck(lambda *parts: fusion(dict(zip(values, parts, strict=True))), tensors)


@pytest.mark.parametrize("name", ["attention", "concat-matched"])
def test_works_under_functional_transforms(name):
    fusion = operator(name, 2, 3)
    first, second = inputs(fusion.modalities, 3).values()

    def one(a, b):
        return fusion({"camera": a[None], "sensor": b[None]})[0]

    jacobians = torch.func.vmap(torch.func.jacfwd(one))(first, second)
    reverse = torch.func.vmap(torch.func.jacrev(one))(first, second)
    torch.testing.assert_close(jacobians, reverse)


def test_matched_concat_has_the_parameters_of_attention():
    count = {name: sum(p.numel() for p in operator(name, 2, 12).parameters()) for name in FUSIONS}
    assert count["concat-matched"] == count["attention"] == 2 * 2 * 12**2
    assert count["sum"] == count["concat"] == 0
    fusion = operator("concat-matched", 2, 5)
    for weight in fusion.latent_maps.weights:
        torch.nn.init.zeros_(weight)
    values = inputs(fusion.modalities, 5)
    assert torch.equal(fusion(values), Concat(fusion.modalities, 5)(values))


def test_wide_sum_is_the_sum_again_and_again():
    values = inputs(NAMES[:3], 4)
    wide, plain = operator("sum-wide", 3, 4), operator("sum", 3, 4)
    assert wide.fused_features == operator("concat", 3, 4).fused_features == 12
    assert torch.equal(wide(values), torch.cat([plain(values)] * 3, dim=1))
    assert torch.equal(operator("sum-wide", 3, 4, scale=0.5)(values), 0.5 * wide(values))


def test_learned_scalars_begin_as_concatenation_and_count():
    values = inputs(NAMES[:3], 4)
    plain = operator("concat", 3, 4)(values)
    shared, own = operator("concat-scalar", 3, 4), operator("concat-scalars", 3, 4)
    assert torch.equal(shared(values), plain) and torch.equal(own(values), plain)
    assert sum(p.numel() for p in shared.parameters()) == 1
    assert sum(p.numel() for p in own.parameters()) == 3
    with torch.no_grad():
        shared.scalars.fill_(-2)
        own.scalars.copy_(torch.tensor([1.0, 0.0, 3.0]))
    torch.testing.assert_close(shared(values), -2 * plain)
    expected = torch.cat([values["camera"], 0 * values["sensor"], 3 * values["wifi"]], dim=1)
    torch.testing.assert_close(own(values), expected)
    own(values).sum().backward()
    by_hand = torch.stack([values[name].sum() for name in own.modalities])
    torch.testing.assert_close(own.scalars.grad, by_hand)


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_attention_of_two_is_concatenation_times_one_scalar_of_the_sample(seed):
    """What the learned scalar is a control for: put a sample's coefficient in its place and nothing is left."""
    attention, control = operator("attention-original", 2, 6, seed), operator("concat-scalar", 2, 6)
    values = inputs(attention.modalities, 6, batch=1, seed=seed)
    with torch.no_grad():
        control.scalars.copy_(attention.coefficients(values)[:, 0])
    torch.testing.assert_close(control(values), attention(values))
    assert isinstance(control, ScalarConcat)


def test_matched_concat_mixes_no_modalities():
    fusion = operator("concat-matched", 2, 5)
    values = inputs(fusion.modalities, 5)
    other = values | {"sensor": -values["sensor"]}
    assert torch.equal(fusion(values)[:, :5], fusion(other)[:, :5])
    assert isinstance(fusion, MatchedConcat)


def test_which_operators_the_l2_penalty_reaches():
    reached = {name for name in FUSIONS if list(operator(name).penalised_parameters())}
    assert reached == {"attention", "attention-original", "attention-regularised"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_attention_computes_half_precision_inputs_in_single(dtype):
    fusion = make_fusion("attention-plain", ["a", "b"], 4)
    values = {name: tensor.to(dtype) for name, tensor in inputs("ab", 4, dtype=torch.float32).items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fused = fusion(values)
    assert fused.dtype == torch.float32
    torch.testing.assert_close(fused, fusion({name: tensor.float() for name, tensor in values.items()}))


def test_names_and_defaults():
    assert len(FUSIONS) == len(set(FUSIONS))
    for name, pair in itertools.product(FUSIONS, [("a", "b")]):
        fusion = make_fusion(name, pair, 4)
        assert isinstance(fusion, Fusion)
        assert str(fusion.fused_features) in repr(fusion)
    assert make_fusion("attention", ["a", "b"], 9).temperature == 3
    assert make_fusion("attention", ["a", "b"], 9, temperature=1.0).temperature == 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: make_fusion("product", ["a", "b"], 4), "unknown fusion 'product'.*attention"),
        (lambda: make_fusion("attention", ["a"], 4), "at least 2 modalities, got \\['a'\\]"),
        (lambda: make_fusion("sum", [], 4), "at least one modality"),
        (lambda: make_fusion("sum", ["a", "a"], 4), "differ from each other"),
        (lambda: make_fusion("sum", ["a"], 0), "latent must be at least 1, got 0"),
        (lambda: make_fusion("attention", ["a", "b"], 4, layers=3), "layers must be 1 or 2, got 3"),
        (lambda: make_fusion("attention", ["a", "b"], 4, spectral="norm"), "spectral must be None or one of"),
        (lambda: make_fusion("attention", ["a", "b"], 4, scale_output="v"), "scale_output must be one of"),
        (lambda: make_fusion("attention", ["a", "b"], 4, eps=0.0), "eps must be positive, got 0"),
        (lambda: make_fusion("attention", ["a", "b"], 4, temperature=-1.0), "temperature must be positive, got -1"),
    ],
)
def test_bad_configuration(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_single_string_is_no_list_of_modalities():
    with pytest.raises(TypeError, match="single string 'ab'"):
        Sum("ab", 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": None}, "missing: \\['b'\\], unexpected: \\[\\]"),
        ({"c": torch.zeros(3, 4)}, "missing: \\[\\], unexpected: \\['c'\\]"),
        ({"b": torch.zeros(3, 5)}, "wants \\(batch, 4\\).*'b' does not fit"),
        ({"b": torch.zeros(2, 4)}, "one common batch"),
    ],
)
@pytest.mark.parametrize("name", ["sum", "concat", "attention"])
def test_bad_inputs(name, change, message):
    fusion = make_fusion(name, ["a", "b"], 4)
    values = {key: tensor for key, tensor in ({"a": torch.zeros(3, 4), "b": torch.zeros(3, 4)} | change).items()}
    values = {key: tensor for key, tensor in values.items() if tensor is not None}
    with pytest.raises(ValueError, match=message):
        fusion(values)


def test_wrong_number_of_axes():
    fusion = make_fusion("sum", ["a", "b"], 4)
    with pytest.raises((ValueError, TypeCheckError)):
        fusion({"a": torch.zeros(3, 4), "b": torch.zeros(4)})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_validate_inputs_finds_what_is_not_finite(bad):
    fusion = make_fusion("sum", ["a", "b"], 4)
    values = inputs("ab", 4)
    fusion.validate_inputs(values)
    values["b"][1, 2] = bad
    with pytest.raises(ValueError, match="'b' holds 1 values that are NaN or infinite"):
        fusion.validate_inputs(values)
