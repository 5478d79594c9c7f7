"""Corruption: identity at 0, stronger with severity, the same by generator, targets untouched."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.data import corruption
from mmfusion.data.corruption import KINDS, corrupt

EVERY = [(modality, kind) for modality in KINDS for kind in KINDS[modality]]


def clean(modality, count=6, dtype=torch.float32):
    torch.manual_seed(0)
    if modality == "window":
        return torch.randn(count, 20, 20, dtype=dtype)
    return torch.rand(count, 3, 16, 16, dtype=dtype)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("modality", "kind"), EVERY)
@given(severity=st.floats(0, 1), seed=st.integers(0, 2**31), dtype=st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=15, deadline=None)
def test_shape_type_range_target_and_repeatability(modality, kind, severity, seed, dtype):
    x = clean(modality, dtype=dtype)
    kept = x.clone()
    y = KINDS[modality][kind](x, severity, gen(seed))
    assert y.shape == x.shape and y.dtype == x.dtype
    assert torch.equal(x, kept) and y.data_ptr() != x.data_ptr()
    assert torch.isfinite(y).all()
    if modality == "picture":
        assert y.min() >= 0 and y.max() <= 1
    assert torch.equal(y, KINDS[modality][kind](x, severity, gen(seed)))


@pytest.mark.parametrize(("modality", "kind"), EVERY)
def test_severity_0_is_the_identity_and_more_severity_hurts_more(modality, kind):
    x = clean(modality, count=200)
    spoil = KINDS[modality][kind]
    assert torch.equal(spoil(x, 0, gen()), x)
    harm = [(spoil(x, s, gen(1)) - x).pow(2).mean().item() for s in (0.1, 0.5, 1.0)]
    assert 0 < harm[0] < harm[1] < harm[2]
    assert not torch.equal(spoil(x, 0.5, gen(1)), spoil(x, 0.5, gen(2)))


@pytest.mark.parametrize(("modality", "kind"), EVERY)
@pytest.mark.parametrize("severity", [-0.1, 1.1, float("nan")])
def test_severity_must_lie_in_the_unit_interval(modality, kind, severity):
    with pytest.raises(ValueError, match=r"severity must lie in \[0, 1\]"):
        KINDS[modality][kind](clean(modality), severity, gen())


def test_the_stated_strengths():
    x = torch.zeros(400, 20, 20)
    assert corruption.window_noise(x, 0.7, gen()).std().item() == pytest.approx(0.7, rel=0.02)
    lost = corruption.window_dropout(x + 1, 0.6, gen())
    assert (lost == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    drift = corruption.window_drift(x, 1.0, gen())
    assert torch.all(drift[:, 0] == 0)
    assert 1.9 < drift[:, -1].abs().max() <= 2
    steps = drift[:, 1:] - drift[:, :-1]
    assert torch.allclose(steps, steps[:, :1].expand_as(steps), atol=1e-5)
    grey = torch.full((400, 3, 16, 16), 0.5)
    assert (corruption.image_noise(grey, 0.2, gen()) - grey).std().item() == pytest.approx(0.1, rel=0.02)
    dead = corruption.image_dropout(grey, 1.0, gen())
    assert (dead == 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    assert torch.equal((dead == 0).all(1), (dead == 0).any(1))
    shift = corruption.image_brightness(grey, 0.5, gen()) - grey
    assert shift.abs().max() <= 0.25 and torch.allclose(shift, shift[:, :1, :1, :1].expand_as(shift))


def test_a_stuck_channel_repeats_one_of_its_readings():
    x = clean("window", count=50)
    y = corruption.window_stuck(x, 1.0, gen())
    for window, stuck in zip(x.transpose(1, 2).reshape(-1, 20), y.transpose(1, 2).reshape(-1, 20), strict=True):
        frozen = (stuck == stuck[-1]).nonzero()[0].item()
        assert torch.equal(stuck[:frozen], window[:frozen])
        assert torch.all(stuck[frozen:] == window[frozen])


def test_an_occlusion_is_one_grey_rectangle_of_limited_area():
    x = torch.full((300, 3, 32, 32), -1.0)
    y = corruption.image_occlusion(x, 1.0, gen())
    largest = 0.0
    for picture in y:
        covered = picture[0] >= 0
        if not covered.any():
            continue
        rows, columns = covered.any(1), covered.any(0)
        assert torch.equal(covered, rows[:, None] & columns[None])
        assert torch.all(torch.diff(rows.nonzero().flatten()) == 1)
        assert picture[:, covered].unique().numel() == 1
        largest = max(largest, covered.float().mean().item())
    assert 0.4 < largest <= 0.5 * (1 + 1 / 16) ** 2


def batch(count=8):
    return {"camera": clean("picture", count), "sensor": clean("window", count).flatten(1)}


def test_both_modalities_are_corrupted_and_the_batch_stays_clean():
    x = batch(64)
    kept = {name: value.clone() for name, value in x.items()}
    y = corrupt(x, 0.8, gen())
    for name in x:
        assert torch.equal(x[name], kept[name])
        assert y[name].shape == x[name].shape and y[name].dtype == x[name].dtype
        assert (y[name] != x[name]).flatten(1).any(1).float().mean() > 0.9
    assert all(torch.equal(y[name], corrupt(x, 0.8, gen())[name]) for name in x)


def test_severity_0_leaves_the_batch_as_it_is():
    x = batch()
    y = corrupt(x, 0.0, gen())
    assert all(torch.equal(x[name], y[name]) and x[name].data_ptr() != y[name].data_ptr() for name in x)


def test_flat_and_shaped_sensors_agree():
    flat = {"sensor": clean("window").flatten(1)}
    shaped = {"sensor": clean("window")}
    assert torch.equal(corrupt(flat, 0.6, gen(5))["sensor"], corrupt(shaped, 0.6, gen(5))["sensor"].flatten(1))
    narrow = corrupt(flat, 0.6, gen(5), kinds={"sensor": ["drift"]}, channels=40)["sensor"]
    assert not torch.equal(narrow, corrupt(flat, 0.6, gen(5), kinds={"sensor": ["drift"]})["sensor"])


def test_any_modality_of_windows_is_corrupted_by_its_own_channels():
    x = {**batch(30), "signal": torch.zeros(30, 60)}
    y = corrupt(x, 1.0, gen(), kinds={"signal": ["drift"]}, channels={"sensor": 20, "signal": 3})
    drift = y["signal"].unflatten(1, (20, 3))
    assert torch.all(drift[:, 0] == 0) and (drift[:, -1] != 0).all()
    assert torch.equal(y["camera"], x["camera"]) and torch.equal(y["sensor"], x["sensor"])


def test_only_the_kinds_that_are_named_occur():
    x = batch(40)
    y = corrupt(x, 1.0, gen(), kinds={"camera": ["dropout"]})
    assert torch.equal(y["sensor"], x["sensor"])
    changed = y["camera"] != x["camera"]
    assert torch.all(y["camera"][changed] == 0) and changed.any()


def test_a_batch_mixes_the_kinds():
    x = {"camera": torch.full((400, 3, 8, 8), 0.5)}
    y = corrupt(x, 0.5, gen(), kinds={"camera": ["dropout", "brightness"]})["camera"]
    dead = (y == 0).flatten(1).any(1)
    assert 0.4 < dead.float().mean() < 0.6
    assert torch.all(y[~dead].flatten(1).std(1) == 0)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"kinds": {"camera": ["blur"]}}, "camera takes one or more of noise, occlusion, dropout, brightness"),
        ({"kinds": {"camera": []}}, "camera takes one or more"),
        (
            {"kinds": {"audio": ["noise"]}},
            "name the modality 'audio', which the batch lacks; it has .'camera', 'sensor'",
        ),
        ({"severity": 1.5}, "severity"),
        ({"channels": 7}, "sensor, flattened to width 400, does not hold 7 channels"),
        ({"channels": 0}, "does not hold 0 channels"),
        ({"channels": {"signal": 20}}, "sensor is flattened; channels must name"),
        ({"batch": {"audio": torch.zeros(3)}}, "audio must have 4 axes .pictures., 3 .windows. or 2"),
        ({"batch": {"sensor": torch.full((2, 20), math.nan)}}, "not finite"),
        ({"batch": {"sensor": torch.zeros(2, 20)}, "kinds": {"camera": ["noise"]}}, "which the batch lacks"),
    ],
)
def test_bad_input_is_refused(given_, message):
    arguments = {"batch": batch(2), "severity": 0.5, "generator": gen(), **given_}
    with pytest.raises(ValueError, match=message):
        corrupt(**arguments)


def test_the_kinds_are_dealt_out_in_one_read_of_the_device():
    """Each sample gets the kind drawn for it, in the order of the samples, whatever the kinds' order."""
    x = torch.full((50, 3, 4, 4), 0.5)
    draw = torch.randint(2, (50,), generator=gen(3))
    marks = {
        "one": lambda clean, *_: clean + 1,
        "two": lambda clean, *_: clean + torch.arange(len(clean))[:, None, None, None],
    }
    y = corruption._mixed(x, marks, 0.5, gen(3), ["two", "one"])[:, 0, 0, 0] - 0.5
    assert torch.equal(y[draw == 0], torch.arange(int((draw == 0).sum())).float())
    assert torch.equal(y[draw == 1], torch.ones(int((draw == 1).sum())))
    assert torch.all(x == 0.5)
