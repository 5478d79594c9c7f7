"""Injected failures: identity at 0, more harm with more severity, one modality at a time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfusion.data import corruption, failures
from mmfusion.data.failures import KINDS, inject, kinds_of

EVERY = [(family, kind) for family in KINDS for kind in KINDS[family]]
SEVERITIES = (0.1, 0.3, 0.5, 0.75, 1.0)


def clean(family, count=60):
    torch.manual_seed(0)
    if family == "window":
        return torch.randn(count, 20, 5)
    # Smooth pictures: blur and lost parts must find something to spoil.
    coarse = torch.rand(count, 3, 5, 5)
    return torch.nn.functional.interpolate(coarse, size=16, mode="bilinear").clamp(0.05, 1)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_kinds_that_the_issue_names():
    assert list(KINDS["window"]) == ["stuck", "spike", "drift", "noise"]
    assert list(KINDS["picture"]) == ["occlusion", "blur", "exposure", "missing part"]


@pytest.mark.parametrize(("family", "kind"), EVERY)
def test_severity_0_is_the_identity_and_more_severity_harms_more(family, kind):
    x = clean(family)
    spoil = KINDS[family][kind]
    assert torch.equal(spoil(x, 0, gen()), x)
    harm = [(spoil(x, s, gen(1)) - x).pow(2).mean().item() for s in SEVERITIES]
    assert harm[0] > 0
    assert harm == sorted(harm) and harm[-1] > 2 * harm[0]


@pytest.mark.parametrize(("family", "kind"), EVERY)
@given(severity=st.floats(0, 1), seed=st.integers(0, 2**31), dtype=st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=12, deadline=None)
def test_shape_type_range_and_repeatability(family, kind, severity, seed, dtype):
    x = clean(family, 4).to(dtype)
    kept = x.clone()
    y = KINDS[family][kind](x, severity, gen(seed))
    assert y.shape == x.shape and y.dtype == dtype and torch.isfinite(y).all()
    assert torch.equal(x, kept) and y.data_ptr() != x.data_ptr()
    assert torch.equal(y, KINDS[family][kind](x, severity, gen(seed)))
    if family == "picture":
        assert y.min() >= 0 and y.max() <= 1


@pytest.mark.parametrize("kind", ["exposure", "missing part", "blur"])
def test_pictures_suffer_more_one_by_one_too(kind):
    x = clean("picture")
    harm = torch.stack([(KINDS["picture"][kind](x, s, gen(3)) - x).pow(2).flatten(1).mean(1) for s in SEVERITIES])
    assert (harm.diff(dim=0) >= -1e-9).all()


@pytest.mark.parametrize(("family", "kind"), EVERY)
@pytest.mark.parametrize("severity", [-0.1, 1.1, float("nan")])
def test_severity_must_lie_in_the_unit_interval(family, kind, severity):
    with pytest.raises(ValueError, match=r"severity must lie in \[0, 1\]"):
        KINDS[family][kind](clean(family, 2), severity, gen())


def test_the_stated_strengths():
    spiked = failures.window_spike(torch.zeros(50, 20, 5), 0.5, gen())
    assert ((spiked != 0).sum(1) == 1).all()
    assert spiked.abs().max() == 3.0 and (spiked < 0).any() and (spiked > 0).any()
    grey = torch.full((80, 3, 16, 16), 0.2)
    exposed = failures.image_exposure(grey, 1.0, gen())
    assert sorted({round(v, 4) for v in exposed.unique().tolist()}) == [0.05, 0.8]
    lost = failures.image_missing_part(grey, 1.0, gen()) == 0
    assert (lost.flatten(1).float().mean(1) == 0.5).all()
    assert len({tuple(picture.flatten().tolist()) for picture in lost}) == 4
    point = torch.zeros(1, 3, 17, 17)
    point[..., 8, 8] = 1
    blurred = failures.image_blur(point, 1.0, gen())
    assert blurred.sum().item() == pytest.approx(3, rel=0.03)
    assert torch.allclose(blurred, blurred.flip(-1), atol=1e-6) and torch.allclose(blurred, blurred.mT, atol=1e-6)
    offsets = torch.arange(17) - 8.0
    spread = (blurred[0, 0].sum(0) * offsets**2).sum().sqrt().item()
    assert spread == pytest.approx(17 / 8, rel=0.05)


def test_a_blur_keeps_an_even_picture_and_cannot_widen_its_range():
    grey = torch.full((2, 3, 12, 16), 0.4)
    assert torch.allclose(failures.image_blur(grey, 1.0, gen()), grey)
    x = clean("picture", 5)
    y = failures.image_blur(x, 0.7, gen())
    assert y.max() <= x.max() and y.min() >= x.min()


def test_shared_with_the_training_corruptions_where_they_are_the_same_thing():
    x = clean("window", 6)
    for kind in ("stuck", "drift", "noise"):
        assert torch.equal(KINDS["window"][kind](x, 0.4, gen()), corruption.KINDS["window"][kind](x, 0.4, gen()))


def batch():
    return {"camera": clean("picture", 6), "sensor": clean("window", 6).flatten(1)}


def test_one_modality_fails_and_the_others_stay():
    data = batch()
    kinds = kinds_of(data)
    assert kinds == {"camera": tuple(KINDS["picture"]), "sensor": tuple(KINDS["window"])}
    for modality, other in (("camera", "sensor"), ("sensor", "camera")):
        for kind in kinds[modality]:
            broken = inject(data, modality, kind, 0.6, gen(), channels={"sensor": 5})
            assert torch.equal(broken[other], data[other])
            assert broken[modality].shape == data[modality].shape
            assert not torch.equal(broken[modality], data[modality])


def test_flattened_windows_fail_as_whole_ones():
    data = batch()
    flat = inject(data, "sensor", "stuck", 1.0, gen(), channels={"sensor": 5})["sensor"]
    whole = inject({"sensor": clean("window", 6)}, "sensor", "stuck", 1.0, gen())["sensor"]
    assert torch.equal(flat.unflatten(1, (20, 5)), whole)


@pytest.mark.parametrize(
    ("modality", "kind", "severity", "words"),
    [
        ("radio", "noise", 0.5, "'radio', which the batch lacks"),
        ("camera", "spike", 0.5, "camera takes one or more of occlusion, blur, exposure, missing part"),
        ("sensor", "spike", 2, r"severity must lie in \[0, 1\]"),
    ],
)
def test_what_cannot_fail_is_refused(modality, kind, severity, words):
    with pytest.raises(ValueError, match=words):
        inject(batch(), modality, kind, severity, gen(), channels=5)


def test_values_that_are_not_finite_are_refused():
    data = batch()
    data["sensor"][0, 0] = float("nan")
    with pytest.raises(ValueError, match="sensor holds values that are not finite"):
        inject(data, "camera", "blur", 0.5, gen(), channels=5)
