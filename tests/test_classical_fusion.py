"""Operators of paper B, Appendix D.1, against their definitions written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mmfusion.classical_fusion import Additive, ConcatLinear, ConcatMLP, CrossAttention

OPERATORS = [Additive, ConcatLinear, ConcatMLP, CrossAttention]
NAMES = ["image", "sound", "text"]


def build(operator, count=2, latent=8, **options):
    torch.manual_seed(0)
    return operator(NAMES[:count], latent, **options).double()


def vectors(count=2, latent=8, batch=5):
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(batch, latent, generator=generator, dtype=torch.float64) for name in NAMES[:count]}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("count", [2, 3])
def test_output_has_the_size_of_one_vector_whatever_the_order(operator, count):
    fusion, given = build(operator, count), vectors(count)
    fused = fusion(given)
    assert fused.shape == (5, 8) == (5, fusion.fused_features)
    assert torch.equal(fusion(dict(reversed(given.items()))), fused)


@pytest.mark.parametrize("operator", OPERATORS)
def test_modalities_and_shapes_are_checked(operator):
    with pytest.raises(ValueError, match="at least 2 modalities"):
        operator(["image"], 8)
    with pytest.raises(ValueError, match="latent must be at least 1"):
        operator(["image", "sound"], 0)
    fusion, given = build(operator), vectors()
    with pytest.raises(ValueError, match="missing"):
        fusion({"image": given["image"]})
    with pytest.raises(ValueError, match="common batch"):
        fusion({**given, "sound": given["sound"][:3]})


@pytest.mark.parametrize(("operator", "learned"), [(ConcatLinear, 2), (ConcatMLP, 4), (CrossAttention, 4)])
def test_every_weight_learns_and_is_saved(operator, learned):
    fusion = build(operator, tokens=2, heads=2) if operator is CrossAttention else build(operator)
    fusion(vectors()).square().sum().backward()
    parameters = dict(fusion.named_parameters())
    assert len(parameters) == learned == len(fusion.state_dict())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters.values())


def test_additive_is_the_weighted_sum():
    fusion, given = build(Additive), vectors()
    assert torch.equal(fusion(given), given["image"] + given["sound"])
    assert [p for p in fusion.parameters() if p.requires_grad] == []
    learned = build(Additive, learned=True)
    with torch.no_grad():
        learned.gains[1] = torch.arange(8.0)
    assert torch.allclose(learned(given), given["image"] + torch.arange(8.0) * given["sound"])
    assert "gains" in learned.state_dict() and learned.gains.requires_grad


def test_linear_adds_what_each_block_makes_of_its_modality():
    fusion, given = build(ConcatLinear, 3), vectors(3)
    parts = sum(given[name] @ fusion.block(name).mT for name in NAMES) + fusion.layer.bias
    assert torch.allclose(fusion(given), parts)
    assert build(ConcatLinear, bias=False).layer.bias is None
    with pytest.raises(ValueError, match="unknown modality 'touch'"):
        fusion.block("touch")


def test_mlp_is_two_layers_with_relu():
    fusion, given = build(ConcatMLP, hidden=5), vectors()
    first, _, second = fusion.layers
    hidden = torch.relu(torch.cat(list(given.values()), dim=1) @ first.weight.mT + first.bias)
    assert hidden.shape[1] == 5 and (hidden == 0).any()
    assert torch.allclose(fusion(given), hidden @ second.weight.mT + second.bias)
    with pytest.raises(ValueError, match="hidden"):
        ConcatMLP(NAMES[:2], 8, hidden=0)


def attention_by_hand(fusion, asking, answering):
    """(batch, query, size) × (batch, key, size), head by head."""
    block: nn.MultiheadAttention = fusion.attention
    size = asking.shape[-1]
    q, k, v = (
        x @ w.mT + b
        for x, w, b in zip(
            (asking, answering, answering), block.in_proj_weight.chunk(3), block.in_proj_bias.chunk(3), strict=True
        )
    )
    heads = []
    for part in torch.arange(size).chunk(fusion.heads):
        weight = (q[..., part] @ k[..., part].mT / math.sqrt(len(part))).softmax(dim=-1)
        heads.append(weight @ v[..., part])
    return torch.cat(heads, dim=-1) @ block.out_proj.weight.mT + block.out_proj.bias


@pytest.mark.parametrize("count", [2, 3])
def test_cross_attention_by_hand(count):
    fusion, given = build(CrossAttention, count, 16, heads=2, tokens=4), vectors(count, 16)
    cut = [given[name].reshape(5, 4, 4) for name in NAMES[:count]]
    by_hand = attention_by_hand(fusion, cut[0], torch.cat(cut[1:], dim=1))
    assert torch.allclose(fusion(given), by_hand.flatten(start_dim=1))


def test_one_key_leaves_nothing_to_attend_to():
    fusion, given = build(CrossAttention), vectors()
    other = {**given, "image": 100 * given["image"] + 1}
    assert torch.allclose(fusion(given), fusion(other), atol=1e-12)
    several = build(CrossAttention, heads=2, tokens=2)
    assert not torch.allclose(several(given), several(other))


@pytest.mark.parametrize(
    ("heads", "tokens", "word"),
    [(3, 1, "heads"), (0, 1, "heads"), (8, 2, "heads"), (1, 3, "tokens"), (1, 0, "tokens")],
)
def test_heads_and_tokens_must_divide(heads, tokens, word):
    with pytest.raises(ValueError, match=word):
        CrossAttention(NAMES[:2], 8, heads, tokens=tokens)
