"""CP tensors: contraction, uniqueness, recovery of the factors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.cp import als, congruence, cp_rows, cp_tensor, jennrich, kruskal_rank


def factors(rank, *sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rank, size, generator=generator, dtype=torch.float64) for size in sizes]


@given(rank=st.integers(1, 4), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_tensor_is_the_sum_of_outer_products(rank, sizes, seed):
    given_factors = factors(rank, *sizes, seed=seed)
    total = torch.zeros(sizes, dtype=torch.float64)
    for i in range(rank):
        term = given_factors[0][i]
        for factor in given_factors[1:]:
            term = term.unsqueeze(-1) * factor[i]
        total += term
    torch.testing.assert_close(cp_tensor(given_factors), total)
    torch.testing.assert_close(cp_rows(given_factors).sum(0), total.flatten())


def test_tensor_refuses_unequal_ranks():
    with pytest.raises(ValueError, match="one row per term, got ranks \\[2, 3\\]"):
        cp_tensor([torch.ones(2, 2), torch.ones(3, 2)])
    with pytest.raises(ValueError, match="at least one factor"):
        cp_tensor([])


def test_kruskal_rank_counts_the_worst_subset():
    rows = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert kruskal_rank(rows) == 2
    assert kruskal_rank(torch.eye(3)) == 3
    assert kruskal_rank(torch.tensor([[1.0, 0], [2, 0]])) == 1
    assert kruskal_rank(torch.tensor([[1.0, 0], [0, 0]])) == 0
    assert kruskal_rank(factors(5, 3)[0]) == 3


@given(rank=st.integers(1, 4), outputs=st.integers(2, 4), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_jennrich_recovers_the_factors(rank, outputs, seed):
    true = factors(rank, 5, 4, outputs, seed=seed)
    found = jennrich(cp_tensor(true), rank)
    assert congruence(found, true).min() > 1 - 1e-5
    torch.testing.assert_close(cp_tensor(found), cp_tensor(true), rtol=1e-4, atol=1e-4)


def test_jennrich_refuses_what_is_not_determined():
    left, right = factors(2, 4, 4)
    with pytest.raises(ValueError, match="at least two outputs"):
        jennrich(cp_tensor([left, right, torch.ones(2, 1, dtype=torch.float64)]), 2)
    parallel = torch.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="coincide"):
        jennrich(cp_tensor([left, right, parallel]), 2)
    with pytest.raises(ValueError, match="rank below 3"):
        jennrich(cp_tensor([left, right, parallel + torch.eye(2, dtype=torch.float64)]), 3)
    with pytest.raises(ValueError, match="NaN or infinite"):
        jennrich(torch.full((4, 4, 2), torch.nan), 2)
    with pytest.raises(ValueError, match="rank must lie in 1 … 4 for"):
        jennrich(torch.ones(4, 4, 2), 0)


def test_congruence_ignores_order_sign_and_scale():
    true = factors(3, 4, 5, 2)
    order = [2, 0, 1]
    found = [true[0][order] * -3, true[1][order] * 0.1, true[2][order]]
    torch.testing.assert_close(congruence(found, true), torch.ones(3, dtype=torch.float64))
    found[0][0] = true[0][0]
    assert congruence(found, true).min() < 0.999


def test_als_fits_and_finds():
    true = factors(3, 5, 5, 4, seed=1)
    found, rest = als(cp_tensor(true), 3, starts=8, sweeps=1000)
    best = int(rest.argmin())
    assert rest[best] < 1e-9
    assert congruence([f[best] for f in found], true).min() > 1 - 1e-8
    bounded, _ = als(cp_tensor(true), 3, starts=8, sweeps=1000, ridge=10.0)
    assert max(f.norm() for f in bounded) < max(f.norm() for f in found)


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"starts": 0}, {"sweeps": 0}])
def test_als_refuses(wrong):
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        als(torch.ones(2, 2, dtype=torch.float64), **{"rank": 1, "starts": 1, **wrong})
    with pytest.raises(ValueError, match="order two or more"):
        als(torch.ones(2, dtype=torch.float64), 1, 1)
