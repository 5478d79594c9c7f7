"""The adversary: finds what is there, never boasts, survives objectives that misbehave."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.measure.attack import Attack, ascend


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_finds_the_top_of_a_hill_from_every_start():
    top = torch.tensor([1.0, -2.0], dtype=torch.float64)
    attack = ascend(lambda p: 3 - (p["x"] - top).square().sum(-1), {"x": rows(32, 2)}, steps=600, learning_rate=1)
    assert torch.allclose(attack.values, torch.full((32,), 3.0, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(attack.at_worst()["x"], top, atol=1e-3)
    assert attack.worst == attack.values.max()


def test_finds_an_operator_norm_over_two_arguments():
    matrix = rows(4, 3, seed=5)

    def gain(p):
        left, right = (torch.nn.functional.normalize(p[name], dim=-1) for name in ("left", "right"))
        return torch.einsum("bi,ij,bj->b", left, matrix, right)

    attack = ascend(gain, {"left": rows(16, 4), "right": rows(16, 3, seed=1)}, steps=400)
    norm = torch.linalg.matrix_norm(matrix, ord=2).item()
    assert norm * (1 - 1e-6) <= attack.worst <= norm * (1 + 1e-12)


@settings(deadline=None, max_examples=20)
@given(steps=st.integers(0, 12), rate=st.floats(0.0, 50.0), seed=st.integers(0, 99))
def test_values_are_really_reached_and_never_fall(steps, rate, seed):
    """However wild the step, the result is the best point of the path and is at least the start."""

    def objective(p):
        return (p["x"].sin() * p["x"].square()).sum((1, 2)) - p["y"].abs()

    begin = {"x": rows(5, 2, 3, seed=seed), "y": rows(5, seed=seed + 1)}
    attack = ascend(objective, begin, steps=steps, learning_rate=rate)
    assert torch.equal(attack.initial, objective(begin))
    assert torch.equal(attack.values, objective(attack.arguments))
    assert (attack.values >= attack.initial).all()


def test_no_steps_only_evaluate():
    begin = {"x": rows(4, 2)}
    attack = ascend(lambda p: p["x"].sum(1), begin, steps=0)
    assert torch.equal(attack.values, begin["x"].sum(1))
    assert torch.equal(attack.arguments["x"], begin["x"])


def test_the_starts_are_left_alone_and_the_result_is_detached():
    begin = {"x": rows(4, 2).requires_grad_(True)}
    before = begin["x"].detach().clone()
    attack = ascend(lambda p: p["x"].square().sum(1), begin, steps=5)
    assert torch.equal(begin["x"], before)
    assert begin["x"].grad is None
    assert not attack.values.requires_grad
    assert not attack.arguments["x"].requires_grad


def test_starts_do_not_disturb_each_other():
    def objective(p):
        return torch.where(p["x"][:, 0] > 5, torch.nan, -(p["x"][:, 0] - 4).square())

    sane, mad = rows(3, 1), torch.full((1, 1), 6.0, dtype=torch.float64)
    alone = ascend(objective, {"x": sane}, steps=80)
    together = ascend(objective, {"x": torch.cat([sane, mad])}, steps=80)
    assert torch.equal(together.values[:3], alone.values)
    assert torch.equal(together.arguments["x"][:3], alone.arguments["x"])
    assert together.values[3] == -torch.inf


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_not_finite_never_win(bad):
    def objective(p):
        return torch.where(p["x"][:, 0] > 0.5, bad, p["x"][:, 0])

    attack = ascend(objective, {"x": torch.zeros(2, 1, dtype=torch.float64)}, steps=60, learning_rate=0.1)
    assert 0 < attack.worst <= 0.5


def test_gradients_that_are_not_finite_stop_no_one():
    """The slope of a square root is infinite at zero; the other coordinate must still climb."""
    begin = {"x": torch.zeros(3, 2, dtype=torch.float64)}
    attack = ascend(lambda p: -p["x"][:, 0].abs().sqrt() - (p["x"][:, 1] - 1).square(), begin, steps=400)
    assert attack.arguments["x"].isfinite().all()
    assert attack.worst > -1e-4


def test_all_starts_hopeless():
    attack = ascend(lambda p: p["x"][:, 0] * torch.nan, {"x": rows(3, 1)}, steps=3)
    assert attack.worst == -torch.inf
    assert torch.equal(attack.arguments["x"], rows(3, 1))


def test_an_argument_may_go_unused():
    begin = {"x": rows(3, 1), "idle": rows(3, 2)}
    attack = ascend(lambda p: -p["x"].square().sum(1), begin, steps=50)
    assert torch.equal(attack.arguments["idle"], begin["idle"])
    assert (attack.values > attack.initial).all()


def test_same_start_same_result():
    def objective(p):
        return p["x"].sin().sum(1)

    first, second = (ascend(objective, {"x": rows(8, 3)}, steps=30) for _ in range(2))
    assert torch.equal(first.values, second.values)


@pytest.mark.parametrize(
    "begin",
    [
        {},
        {"x": torch.zeros((), dtype=torch.float64)},
        {"x": torch.zeros(0, 2, dtype=torch.float64)},
        {"x": torch.zeros(3, 2, dtype=torch.float64), "y": torch.zeros(4, 2, dtype=torch.float64)},
        {"x": torch.zeros(3, 2, dtype=torch.float64), "y": torch.tensor(1.0, dtype=torch.float64)},
    ],
)
def test_starts_that_do_not_fit(begin):
    with pytest.raises(ValueError, match="every argument needs the same number of starts ≥ 1 on its first axis"):
        ascend(lambda p: p["x"].sum(1), begin)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.complex128])
def test_only_double_precision(dtype):
    begin = {"x": rows(3, 2), "small": torch.zeros(3, 2, dtype=dtype)}
    with pytest.raises(ValueError, match="arguments must be float64; small are not"):
        ascend(lambda p: p["x"].sum(1), begin)


@pytest.mark.parametrize("objective", [lambda p: p["x"].sum(), lambda p: p["x"], lambda p: p["x"].sum(1, keepdim=True)])
def test_objectives_of_another_shape(objective):
    with pytest.raises(ValueError, match=r"the objective returned shape .*, wanted \(3,\)"):
        ascend(objective, {"x": rows(3, 2)})


@pytest.mark.parametrize("objective", [lambda p: p["x"].detach().sum(1), lambda p: torch.zeros(3, dtype=torch.float64)])
def test_objectives_without_a_gradient(objective):
    with pytest.raises(ValueError, match="no gradient reaches the arguments"):
        ascend(objective, {"x": rows(3, 2)})


def test_steps_and_rates_that_make_no_sense():
    for steps, rate, words in ((-1, 0.1, "steps must be at least 0, given -1"), (3, -0.1, "learning rate")):
        with pytest.raises(ValueError, match=words):
            ascend(lambda p: p["x"].sum(1), {"x": rows(3, 2)}, steps=steps, learning_rate=rate)


def test_worst_of_several():
    attack = Attack(
        values=torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64),
        initial=torch.zeros(3, dtype=torch.float64),
        arguments={"x": torch.arange(6, dtype=torch.float64).reshape(3, 2)},
    )
    assert attack.worst == 3.0
    assert attack.at_worst()["x"].tolist() == [2.0, 3.0]
