"""Sizes of weights, on matrices whose singular values are known."""

import math

import pytest
import torch

from mmfusion.fusion import make_fusion
from mmfusion.measure.weights import measure_weights
from mmfusion.models import MultimodalAutoencoder, VectorSpec


def model(fusion="attention", latent=4, names=("a", "b"), **options):
    torch.manual_seed(0)
    net = torch.nn.Module()
    net.fusion = make_fusion(fusion, names, latent, **options)
    net.rest = torch.nn.Linear(2, 3)
    return net.eval()


def set_weights(net, *diagonals):
    """One diagonal per matrix: layer by layer, and modality by modality within a layer."""
    rows = iter(diagonals)
    with torch.no_grad():
        for weight in net.fusion.score_maps.weights:
            for index in range(len(weight)):
                # Singular values do not depend on the basis.
                turn = torch.linalg.qr(torch.randn(weight.shape[1:]))[0]
                weight[index] = turn @ torch.diag(torch.tensor(next(rows))) @ turn.flip(0)


@pytest.mark.parametrize("options", [{}, {"spectral": None}, {"spectral": "projection"}])
def test_known_matrices(options):
    net = model(**options)
    set_weights(net, [2.0, 2.0, 2.0, 2.0], [3.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [4.0, 2.0, 0.0, 0.0])
    found = measure_weights(net)
    squares = 16 + 9 + 2 + 20
    assert found["fusion/weights/norm"] == pytest.approx(math.sqrt(squares), rel=1e-5)
    assert found["fusion/weights/stable_rank"] == pytest.approx((4 + 1 + 2 + 20 / 16) / 4, rel=1e-5)
    wanted = {"0/a": 2.0, "0/b": 3.0, "1/a": 1.0, "1/b": 4.0}
    assert {k: found[f"fusion/weights/spectral/{k}"] for k in wanted} == pytest.approx(wanted, rel=1e-5)
    with torch.no_grad():
        for parameter in net.rest.parameters():
            parameter.fill_(1.0)
    assert measure_weights(net)["parameters/norm"] == pytest.approx(math.sqrt(squares + 9), rel=1e-5)


def test_the_stable_rank_is_blind_to_scale_and_the_norms_are_not():
    net = model()
    before = measure_weights(net)
    with torch.no_grad():
        for weight in net.fusion.score_maps.weights:
            weight.mul_(1e-3)
    after = measure_weights(net)
    assert after["fusion/weights/stable_rank"] == pytest.approx(before["fusion/weights/stable_rank"], rel=1e-4)
    for name in before:
        if name.startswith("fusion/weights/spectral") or name == "fusion/weights/norm":
            assert after[name] == pytest.approx(1e-3 * before[name], rel=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_after_a_step_the_norms_are_those_of_the_new_weights(training):
    net = model().train(training)
    measure_weights(net)
    set_weights(net, *[[5.0, 1.0, 1.0, 1.0]] * 4)
    found = measure_weights(net)
    assert found["fusion/weights/spectral/1/b"] == pytest.approx(5.0, rel=1e-4)
    assert found["fusion/weights/stable_rank"] == pytest.approx(28 / 25, rel=1e-4)


def test_weights_of_zero_and_three_modalities():
    net = model("attention-scaled", names=("a", "b", "c"))
    with torch.no_grad():
        for weight in net.fusion.score_maps.weights:
            weight.zero_()
    found = measure_weights(net)
    assert found["fusion/weights/norm"] == found["fusion/weights/stable_rank"] == 0.0
    assert sum(name.startswith("fusion/weights/spectral/") for name in found) == 6


def test_broken_weights_are_measured_as_such():
    net = model("attention-scaled")
    with torch.no_grad():
        net.fusion.score_maps.weights[0][0, 0, 0] = math.nan
    assert math.isnan(measure_weights(net)["fusion/weights/stable_rank"])


@pytest.mark.parametrize("fusion", ["sum", "concat-matched"])
def test_other_fusions_have_only_the_norm_of_everything(fusion):
    net = MultimodalAutoencoder({name: VectorSpec(3, (5, 4)) for name in ("a", "b")}, fusion, latent=4)
    found = measure_weights(net)
    assert set(found) == {"parameters/norm"}
    assert found["parameters/norm"] == pytest.approx(
        torch.cat([p.flatten() for p in net.parameters()]).norm().item(), rel=1e-5
    )
