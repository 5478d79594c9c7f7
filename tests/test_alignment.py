import itertools
import math

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.alignment import (
    class_contrastive_loss,
    class_scatter,
    contrastive_excess,
    cross_reconstruction_loss,
    fidelity_floor,
    homologous_loss,
    info_nce,
    intra_reconstruction_loss,
    reconstruction_loss,
    scatter_bound,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 4), modalities=st.integers(2, 5), latent=st.integers(1, 4), seed=st.integers(0, 99))
def test_homologous_loss_is_the_mean_over_pairs(batch, modalities, latent, seed):
    codes = draw(batch, modalities, latent, seed=seed)
    pairs = [(codes[:, s] - codes[:, t]).square().sum(-1) for s, t in itertools.combinations(range(modalities), 2)]
    torch.testing.assert_close(homologous_loss(codes), torch.stack(pairs).mean())


def test_homologous_loss_skips_absent_codes():
    codes = draw(2, 3, 4)
    codes[0, 1] = torch.nan
    present = torch.tensor([[True, False, True], [True, True, True]])
    expected = (homologous_loss(codes[:1, [0, 2]]) + homologous_loss(codes[1:])) / 2
    torch.testing.assert_close(homologous_loss(codes, present), expected)


def test_gradient_stays_finite_beside_an_absent_code():
    codes = draw(2, 3, 4)
    codes[0, 1] = torch.nan
    codes.requires_grad_(True)
    homologous_loss(codes, ~codes.detach().isnan().any(-1)).backward()
    assert codes.grad.isfinite().all()
    assert (codes.grad[0, 1] == 0).all() and (codes.grad[1] != 0).all()


def test_homologous_loss_refuses_lone_modalities():
    present = torch.tensor([[True, True], [True, False], [False, False]])
    with pytest.raises(ValueError, match="object 1 has 1 \\(2 of 3 objects are short\\)"):
        homologous_loss(draw(3, 2, 4), present)
    with pytest.raises(ValueError, match="object 0 has 1"):
        homologous_loss(draw(3, 1, 4))
    with pytest.raises(ValueError, match="none of them 0; got \\(0, 2, 4\\)"):
        homologous_loss(draw(0, 2, 4))


def test_scatter_is_the_sum_about_the_centroid():
    codes, labels = draw(6, 3, 2), torch.tensor([0, 0, 1, 1, 1, 0])
    scatter = class_scatter(codes, labels)
    direct = sum((codes[labels == k] - codes[labels == k].mean((0, 1))).square().sum() for k in (0, 1))
    torch.testing.assert_close(scatter.total, direct)
    torch.testing.assert_close(scatter.within_objects, homologous_loss(codes) * 6 * (3 - 1) / 2)


def test_scatter_with_absent_codes_centres_on_mean_codes():
    codes, labels = draw(4, 2, 1), torch.tensor([5, 5, 7, 7])
    present = torch.tensor([[True, True], [True, False], [True, True], [True, True]])
    direct = 0.0
    for rows in ((0, 1), (2, 3)):
        kept = [codes[i][present[i]] for i in rows]
        centroid = torch.stack([code.mean(0) for code in kept]).mean(0)
        direct = direct + sum((code - centroid).square().sum() for code in kept)
    torch.testing.assert_close(class_scatter(codes, labels, present).total, direct)


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        ([0, 0, 1, 1], 3, "class 2 is empty"),
        ([0, 0, 0, 1], None, "class 1 has one member: no scatter between objects"),
        ([0, 0, 3, 3], 2, "label 3 is not one of the 2 classes"),
    ],
)
def test_scatter_refuses_small_classes(labels, classes, words):
    with pytest.raises(ValueError, match=words):
        class_scatter(draw(4, 2, 3), torch.tensor(labels), classes=classes)


def test_scatter_refuses_objects_without_modality():
    with pytest.raises(ValueError, match="object 1 has no modality"):
        class_scatter(draw(2, 2, 3), torch.tensor([0, 0]), torch.tensor([[True, True], [False, False]]))


def test_reconstruction_losses_are_those_of_the_paper():
    features = {"a": torch.zeros(2, 3), "b": torch.zeros(2, 5)}
    own = {name: torch.full_like(value, 2.0) for name, value in features.items()}
    assert intra_reconstruction_loss(features, own).item() == 4 * 3 + 4 * 5
    crossed = {("a", "b"): torch.full((2, 3), 1.0), ("b", "a"): torch.full((2, 5), 3.0)}
    assert cross_reconstruction_loss(features, crossed).item() == (3 + 45) / 2
    assert reconstruction_loss(8.0, 4.0, 0.25) == 5.0


def test_one_error_weighs_alike_at_one_over_modalities_plus_one():
    names = "abc"
    features = {name: torch.zeros(1, 2) for name in names}
    wrong = torch.ones(1, 2)
    intra = intra_reconstruction_loss(features, dict.fromkeys(names, wrong))
    cross = cross_reconstruction_loss(features, dict.fromkeys(itertools.permutations(names, 2), wrong))
    assert 0.25 * intra == pytest.approx((1 - 0.25) * cross)


def test_reconstruction_losses_refuse_what_does_not_fit():
    features = {"a": torch.zeros(2, 3), "b": torch.zeros(2, 5)}
    with pytest.raises(ValueError, match="features have the modalities \\['a', 'b'\\], outputs have \\['a'\\]"):
        intra_reconstruction_loss(features, {"a": torch.zeros(2, 3)})
    with pytest.raises(ValueError, match="'b': output is \\(2, 3\\), target is \\(2, 5\\)"):
        intra_reconstruction_loss(features, {"a": torch.zeros(2, 3), "b": torch.zeros(2, 3)})
    with pytest.raises(ValueError, match="missing \\[\\('b', 'a'\\)\\]"):
        cross_reconstruction_loss(features, {("a", "b"): torch.zeros(2, 3)})
    with pytest.raises(ValueError, match="at least two modalities, got \\['a'\\]"):
        cross_reconstruction_loss({"a": torch.zeros(2, 3)}, {})
    uneven = {"a": torch.zeros(2, 3), "b": torch.zeros(5, 3)}
    with pytest.raises(ValueError, match="one common batch size, got {'a': 2, 'b': 5}"):
        intra_reconstruction_loss(uneven, uneven)
    with pytest.raises(ValueError, match="one common batch size, got {'a': 2, 'b': 5}"):
        cross_reconstruction_loss(uneven, {("a", "b"): uneven["a"], ("b", "a"): uneven["b"]})
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="lies in \\[0, 1\\]"):
            reconstruction_loss(1.0, 1.0, wrong)


@pytest.mark.parametrize("inside", [False, True])
def test_info_nce_by_hand(inside):
    a, b, n = tensor([[2.0, 0.0]]), tensor([[1.0, 1.0]]), tensor([[0.0, 3.0], [-1.0, 0.0]])
    tau, alike = 0.5, math.sqrt(0.5)
    bottom = math.exp(0) + math.exp(-1 / tau) + inside * math.exp(alike / tau)
    expected = -math.log(math.exp(alike / tau) / bottom)
    assert info_nce(a, b, n, tau, positive_in_denominator=inside).item() == pytest.approx(expected)
    batch = torch.stack([n, n])
    both = info_nce(a.repeat(2, 1), b.repeat(2, 1), batch, tau, positive_in_denominator=inside)
    assert both.item() == pytest.approx(expected)


def test_raw_codes_have_no_lower_bound_and_unit_codes_do():
    a, n = tensor([[1.0, 0.0]]), tensor([[0.0, 1.0]])
    for inside, floor in ((False, -100.0), (True, 0.0)):
        raw = info_nce(20 * a, 20 * a, 20 * n, 0.6, positive_in_denominator=inside, normalise=False).item()
        assert (raw < floor) != inside
    assert info_nce(20 * a, 20 * a, -20 * a, 0.6).item() == pytest.approx(-2 / 0.6)


def test_class_loss_takes_positives_from_the_class():
    codes = tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [-0.6, 0.8]])
    labels = torch.tensor([0, 0, 1, 1])
    pairs = [(0, 1), (1, 0), (2, 3), (3, 2)]
    for inside in (False, True):
        terms = [
            info_nce(codes[[i]], codes[[j]], codes[labels != labels[i]], 0.3, positive_in_denominator=inside)
            for i, j in pairs
        ]
        found = class_contrastive_loss(codes, labels, 0.3, positive_in_denominator=inside)
        torch.testing.assert_close(found, torch.stack(terms).mean())


def test_class_loss_has_a_finite_gradient():
    codes = draw(6, 3).requires_grad_(True)
    class_contrastive_loss(codes, torch.tensor([0, 0, 1, 1, 2, 2]), 0.1, positive_in_denominator=True).backward()
    assert codes.grad.isfinite().all() and codes.grad.abs().max() > 0


def test_contrastive_losses_refuse_what_makes_no_sense():
    a, n = draw(2, 3), draw(4, 3)
    for wrong in (0.0, -0.6, math.nan, math.inf):
        with pytest.raises(ValueError, match="temperature must be positive"):
            info_nce(a, a, n, wrong)
        with pytest.raises(ValueError, match="temperature must be positive"):
            class_contrastive_loss(n, torch.tensor([0, 0, 1, 1]), wrong)
    with pytest.raises(ValueError, match="1 of 4 codes have length zero"):
        info_nce(a, a, torch.cat([n[:3], torch.zeros(1, 3)]), 0.6)
    with pytest.raises(ValueError, match="at least one anchor and one negative, got 2 and 0"):
        info_nce(a, a, n[:0], 0.6)
    with pytest.raises(ValueError, match="negatives \\(negative, latent\\)"):
        info_nce(a, a, draw(4, 2), 0.6)
    with pytest.raises(ValueError, match="all codes here are of one class"):
        class_contrastive_loss(n, torch.zeros(4, dtype=torch.long), 0.6)
    with pytest.raises(ValueError, match="class 2 has one member: no positive pair"):
        class_contrastive_loss(draw(5, 3), torch.tensor([0, 0, 1, 1, 2]), 0.6)
    with pytest.raises(ValueError, match="class 2 is empty"):
        class_contrastive_loss(n, torch.tensor([0, 0, 1, 1]), 0.6, classes=3)
    with pytest.raises(ValueError, match="4 to label, labels of \\(2,\\)"):
        class_contrastive_loss(n, torch.tensor([0, 0]), 0.6)


def test_excess_speaks_every_dialect():
    loss, k, tau = sp.symbols("L K tau", positive=True)
    for inside in (False, True):
        formula = contrastive_excess(loss, k, tau, positive_in_denominator=inside)
        expected = float(formula.subs({loss: 1.5, k: 3, tau: 0.6}))
        assert contrastive_excess(1.5, 3, 0.6, positive_in_denominator=inside) == pytest.approx(expected)
        assert contrastive_excess(tensor(1.5), 3, 0.6, positive_in_denominator=inside).item() == pytest.approx(expected)
        assert contrastive_excess(np.array([1.5]), 3, 0.6, positive_in_denominator=inside)[0] == pytest.approx(expected)
    assert contrastive_excess(5000.0, 1, 1.0, positive_in_denominator=True) == pytest.approx(5000)
    for tiny in (1e-20, tensor(1e-20)):
        assert float(contrastive_excess(tiny, 1, 1.0, positive_in_denominator=True)) == pytest.approx(math.log(1e-20))
    for wrong in ((0, 0.6), (3, 0.0)):
        with pytest.raises(ValueError, match="must be positive"):
            contrastive_excess(1.0, *wrong)


def test_a_simplex_attains_the_bound_for_other_classes():
    angles = torch.arange(3, dtype=torch.float64) * 2 * math.pi / 3
    codes = torch.stack([angles.cos(), angles.sin()], dim=1).repeat_interleave(2, dim=0)
    loss = class_contrastive_loss(codes, torch.tensor([0, 0, 1, 1, 2, 2]), 0.6)
    assert scatter_bound(contrastive_excess(loss, 4, 0.6), "other classes", classes=3).item() == pytest.approx(
        0, abs=1e-12
    )
    assert scatter_bound(-2.0) == 0.0
    assert scatter_bound(0.5, "independent", mean_square=0.25) == 1.25


def test_positives_of_the_object_bound_the_class_through_negatives_of_other_classes():
    codes = tensor([[[1.0, 0.0], [-1.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]])  # class, object, latent
    for scattered, pair in ((1.0, codes), (0.0, codes[:, :1].expand(2, 2, 2))):
        anchors = pair.flatten(0, 1)
        losses = [info_nce(a[None], a[None], n[None], 0.6) for k in (0, 1) for a in pair[k] for n in pair[1 - k]]
        excess = contrastive_excess(torch.stack(losses).mean(), 1, 0.6)
        bound = scatter_bound(excess, "other classes", anchors.mean(0).square().sum(), 2, positives="object")
        assert bound.item() == pytest.approx(scattered, abs=1e-12)


def test_scatter_bound_refuses_where_the_loss_bounds_nothing():
    for negatives in ("any", "independent"):
        with pytest.raises(ValueError, match="does not bound the class variance"):
            scatter_bound(0.0, negatives, positives="object")
    with pytest.raises(ValueError, match="positives must be 'class' or 'object', got 'batch'"):
        scatter_bound(0.0, positives="batch")


def test_scatter_bound_refuses_unknown_negatives():
    with pytest.raises(ValueError, match="must be 'any', 'independent' or 'other classes', got 'hard'"):
        scatter_bound(0.0, "hard")
    for classes in (None, 1):
        with pytest.raises(ValueError, match="two or more; got"):
            scatter_bound(0.0, "other classes", classes=classes)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), gain=st.floats(0.0, 4.0))
def test_no_decoder_beats_the_floor(seed, gain):
    features, codes = draw(5, 3, seed=seed), draw(5, 2, seed=seed + 1)
    matrix = draw(2, 3, seed=seed + 2)
    decoder = gain * matrix / torch.linalg.matrix_norm(matrix, ord=2)
    spread, code_spread = ((x - x.mean(0)).square().sum(1).mean().sqrt().item() for x in (features, codes))
    error = (features - codes @ decoder).square().sum(1).mean().sqrt().item()
    assert error >= fidelity_floor(spread, code_spread, gain) - 1e-12


def test_floor_refuses_negative_numbers():
    with pytest.raises(ValueError, match="must not be negative"):
        fidelity_floor(1.0, -1.0, 1.0)
