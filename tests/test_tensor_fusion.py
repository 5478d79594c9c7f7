"""Tensor fusion and its low-rank form: same function, registered parameters, clear refusals."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.tensor_fusion import LowRank, TensorFusion, append_one

NAMES = ["camera", "sensor", "wifi", "sound", "touch"]


def inputs(count, latent, batch=3, dtype=torch.float64):
    return {name: torch.randn(batch, latent, dtype=dtype) for name in NAMES[:count]}


@given(
    count=st.integers(2, 5), latent=st.integers(1, 3), rank=st.integers(1, 9), outputs=st.integers(1, 3),
    shared=st.booleans(), seed=st.integers(0, 999),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_factors_equal_the_full_tensor(count, latent, rank, outputs, shared, seed):
    torch.manual_seed(seed)
    low = LowRank(NAMES[:count], latent, rank, outputs, shared=shared).double()
    full = TensorFusion(NAMES[:count], latent, outputs).double()
    weight = low.weight_tensor()
    assert weight.shape == (outputs, *[latent + 1] * count)
    values = inputs(count, latent)
    with torch.no_grad():
        full.weight.copy_(weight.flatten(1))
    torch.testing.assert_close(low(values), full(values))
    assert low(values).shape == (3, low.fused_features)


def test_outer_product_by_hand():
    fusion = TensorFusion(["a", "b"], 2)
    values = {"b": torch.tensor([[5.0, 7.0]]), "a": torch.tensor([[2.0, 3.0]])}
    assert fusion(values).tolist() == [[10, 14, 2, 15, 21, 3, 5, 7, 1]]
    assert fusion.fused_features == 9 and not list(fusion.parameters())
    assert append_one(torch.zeros(2, 3)).tolist() == [[0, 0, 0, 1]] * 2


@pytest.mark.parametrize("shared", [False, True])
def test_every_factor_is_trained_and_saved(shared):
    """MultiBench keeps its factors in a plain list: they are neither trained nor saved."""
    torch.manual_seed(0)
    fusion = LowRank(NAMES[:3], 4, 3, 2, shared=shared)
    count = 3 * 5 * 3 + 3 * 2 if shared else 3 * 2 * 5 * 3
    assert sum(p.numel() for p in fusion.parameters()) == count
    values = inputs(3, 4, batch=20, dtype=torch.float32)
    before = {name: p.detach().clone() for name, p in fusion.named_parameters()}
    optimiser = torch.optim.SGD(fusion.parameters(), lr=0.1)
    fusion(values).square().mean().backward()
    optimiser.step()
    for name, parameter in fusion.named_parameters():
        assert (parameter != before[name]).all(), name
    copy = LowRank(NAMES[:3], 4, 3, 2, shared=shared)
    copy.load_state_dict(fusion.state_dict())
    assert torch.equal(copy(values), fusion(values))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("count", "rank"), [(2, 1), (2, 16), (4, 1), (4, 16)])
def test_outputs_begin_at_the_same_size(shared, count, rank):
    torch.manual_seed(0)
    values = inputs(count, 8, batch=2000, dtype=torch.float32)
    sizes = [LowRank(NAMES[:count], 8, rank, 30, shared=shared)(values).square().mean().item() for _ in range(8)]
    assert 0.3 < sum(sizes) / len(sizes) < 3


def test_order_of_call_does_not_matter():
    fusion = LowRank(NAMES[:3], 4, 2)
    values = inputs(3, 4, dtype=torch.float32)
    assert torch.equal(fusion(dict(reversed(values.items()))), fusion(values))
    assert fusion.fused_features == 4 and "rank=2" in repr(fusion)


@pytest.mark.parametrize("wrong", [0, -1])
def test_refuses_sizes(wrong):
    with pytest.raises(ValueError, match="rank must be a whole number, at least 1"):
        LowRank(["a", "b"], 2, rank=wrong)
    with pytest.raises(ValueError, match="outputs must be a whole number, at least 1"):
        TensorFusion(["a", "b"], 2, outputs=wrong)


def test_refuses_inputs():
    with pytest.raises(ValueError, match="LowRank needs at least 2 modalities"):
        LowRank(["a"], 2, 1)
    with pytest.raises(ValueError, match="TensorFusion needs at least 2 modalities"):
        TensorFusion(["a"], 2)
    fusion = LowRank(["a", "b"], 2, 1)
    with pytest.raises(ValueError, match="one common batch size"):
        fusion({"a": torch.zeros(3, 2), "b": torch.zeros(4, 2)})
    with pytest.raises(ValueError, match="missing"):
        fusion({"a": torch.zeros(3, 2)})


def test_low_rank_is_fast():
    """Three modalities of size 64, rank 8: at least twenty times as fast as the full tensor, on one core."""
    values = inputs(3, 64, batch=32, dtype=torch.float32)
    best, threads = {}, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for operator in (LowRank(NAMES[:3], 64, 8, 16), TensorFusion(NAMES[:3], 64, 16)):
            spent = []
            with torch.inference_mode():
                for _ in range(5):
                    start = time.thread_time()
                    operator(values)
                    spent.append(time.thread_time() - start)
            best[type(operator)] = min(spent)
    finally:
        torch.set_num_threads(threads)
    assert best[TensorFusion] > 20 * best[LowRank]
