"""The detector of failures: clean data in, distances out; and what it refuses."""

import math
import re

import numpy as np
import pytest
import torch
from sklearn.decomposition import KernelPCA

from mmfusion.measure import detection
from mmfusion.measure.detection import LatentDetector, encoded, fused_latents, percentile, rotating_thresholds
from mmfusion.models import ImageSpec, MultimodalAutoencoder, VectorSpec


def latents(count=150, features=12, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, features)) * np.linspace(0.5, 3, features) + shift


@pytest.mark.parametrize("kernel", detection.KERNELS)
def test_distances_of_clean_data_are_typical_and_a_shift_is_noticed(kernel):
    detector = LatentDetector(10, kernel=kernel).fit(latents())
    clean = detector.score(latents(seed=1))
    assert clean.shape == (150,) and np.isfinite(clean).all()
    assert np.median(clean) == pytest.approx(math.sqrt(10), rel=0.35)
    threshold = detector.calibrate(latents(seed=2))
    assert detector.detect(latents(seed=3)).mean() < 0.15
    assert (detector.detect(latents(seed=4)) == (detector.score(latents(seed=4)) > threshold)).all()


def test_the_linear_kernel_is_the_mahalanobis_distance_of_principal_components():
    clean = latents(400, 4)
    detector = LatentDetector(4, kernel="linear").fit(clean)
    centred = clean - clean.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    covariance = np.cov(centred @ axes.T, rowvar=False, bias=True)
    shrunk = (1 - detector.shrinkage_) * covariance + detector.shrinkage_ * np.trace(covariance) / 4 * np.eye(4)
    given = latents(30, 4, seed=5, shift=1.0)
    projected = (given - clean.mean(0)) @ axes.T
    wanted = np.sqrt(np.einsum("ij,jk,ik->i", projected, np.linalg.inv(shrunk), projected))
    assert detector.score(given) == pytest.approx(wanted)
    assert detector.explained_ == pytest.approx(1)
    assert math.isnan(detector.gamma_) and detector.farthest() == math.inf


def test_the_gaussian_kernel_is_scikit_learns():
    clean, given = latents(80), latents(20, seed=1)
    detector = LatentDetector(6).fit(clean)
    squared = ((clean[:, None] - clean[None]) ** 2).sum(-1)
    assert detector.gamma_ == pytest.approx(1 / np.median(squared[np.triu_indices(80, 1)]))
    theirs = KernelPCA(6, kernel="rbf", gamma=detector.gamma_, eigen_solver="dense").fit(clean)
    ours = detector._pca.transform(detector._kernel(given))
    assert np.abs(ours) == pytest.approx(np.abs(theirs.transform(given)), abs=1e-9)
    assert 0 < detector.explained_ < 1
    assert LatentDetector(79, gamma=0.5).fit(clean).explained_ == pytest.approx(1)
    assert LatentDetector(6, gamma=0.5).fit(clean).gamma_ == 0.5


def test_far_away_the_gaussian_distance_is_one_number():
    detector = LatentDetector(8).fit(latents())
    far = detector.score(latents(5, seed=1, shift=1e4))
    assert far == pytest.approx(detector.farthest())
    assert detector.farthest() < detector.calibrate(latents(seed=2))
    linear = LatentDetector(8, kernel="linear").fit(latents())
    assert (linear.score(latents(5, seed=1, shift=1e4)) > 1e3).all()


def test_a_singular_covariance_is_shrunk_and_the_shrinkage_reported():
    flat = latents(120, 3) @ np.random.default_rng(0).normal(size=(3, 12))
    detector = LatentDetector(10, kernel="linear").fit(flat)
    assert 0 < detector.shrinkage_ <= 1
    assert np.isfinite(detector.score(flat)).all()
    assert np.linalg.matrix_rank(detector._pca.transform(detector._kernel(flat))) == 3


def test_many_latents_are_thinned_by_seed():
    clean = latents(300)
    fits = [LatentDetector(5, most=100, seed=s).fit(clean) for s in (0, 0, 1)]
    assert fits[0].samples_ == 100 and LatentDetector(5).fit(clean).samples_ == 300
    assert (fits[0].score(clean) == fits[1].score(clean)).all()
    assert (fits[0].score(clean) != fits[2].score(clean)).any()


def test_a_new_fit_forgets_the_threshold():
    detector = LatentDetector(5).fit(latents())
    detector.calibrate(latents(seed=1))
    with pytest.raises(ValueError, match="no threshold is set"):
        detector.fit(latents(seed=2)).detect(latents())


@pytest.mark.parametrize("count", [1, 2, 19, 20, 21, 40, 100, 101, 400])
def test_the_false_positive_rate_on_the_calibration_set_is_given_by_its_size(count):
    distances = np.random.default_rng(count).permutation(np.arange(count) / 7)
    alarms = (distances > percentile(distances)).sum()
    assert alarms == count - math.ceil(0.95 * count) == math.floor(count / 20)


def test_each_episode_is_judged_by_the_others():
    clean, episode = np.arange(60.0), np.repeat([4, 7, 9], 20)
    thresholds = rotating_thresholds(clean, episode)
    for name in (4, 7, 9):
        assert (thresholds[episode == name] == percentile(clean[episode != name])).all()
    assert thresholds[-1] < 40 and (clean > thresholds).sum() == 20
    with pytest.raises(ValueError, match="at least 2 held-out episodes, got 1"):
        rotating_thresholds(clean, np.zeros(60, int))
    with pytest.raises(ValueError, match="60 distances, but the episodes of 3"):
        rotating_thresholds(clean, np.arange(3))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"components": 0}, "components must be at least 1, got 0"),
        ({"kernel": "cubic"}, "kernel must be one of rbf, linear; got 'cubic'"),
        ({"gamma": 0.0}, "gamma must be positive, got 0"),
        ({"gamma": math.nan}, "gamma must be positive"),
        ({"quantile": 1.0}, "quantile must lie between 0 and 1"),
    ],
)
def test_parameters_out_of_range(options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        LatentDetector(**options)


def test_bad_latents():
    with pytest.raises(ValueError, match="20 components needs at least 21 clean training latents, got 20"):
        LatentDetector(20).fit(latents(20))
    assert LatentDetector(20).fit(latents(21)).samples_ == 21
    with pytest.raises(ValueError, match="are alike"):
        LatentDetector(3).fit(np.ones((30, 4)))
    broken = latents()
    broken[3, 1], broken[7, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match="2 of 150 training latents are not finite"):
        LatentDetector(5).fit(broken)
    detector = LatentDetector(5).fit(latents())
    with pytest.raises(ValueError, match="2 of 150 given latents are not finite"):
        detector.score(broken)
    with pytest.raises(ValueError, match="fitted on latents of 12 features, got 11"):
        detector.score(latents(features=11))
    with pytest.raises(ValueError, match=r"two axes \(samples, features\), got shape \(12,\)"):
        detector.score(latents()[0])
    for call in ("score", "detect", "calibrate"):
        with pytest.raises(ValueError, match="call fit first" if call != "detect" else "no threshold is set"):
            getattr(LatentDetector(5), call)(latents())
    with pytest.raises(ValueError, match="call fit first"):
        LatentDetector(5).farthest()
    with pytest.raises(ValueError, match="at least one clean distance"):
        percentile(np.array([]))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    specs = {"camera": ImageSpec(16, (4, 4)), "sensor": VectorSpec(30, (8,))}
    return MultimodalAutoencoder(specs, "attention").eval()


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    return {"camera": torch.rand(7, 3, 16, 16), "sensor": torch.randn(7, 30)}


def test_fused_latents_are_the_models_in_any_order_and_in_parts(model, inputs):
    with torch.no_grad():
        wanted = model.fuse(model.encode(inputs)).double().numpy()
    assert fused_latents(model, inputs) == pytest.approx(wanted)
    assert fused_latents(model, dict(reversed(inputs.items())), batch=3) == pytest.approx(wanted, abs=1e-6)
    known = encoded(model, {"sensor": inputs["sensor"]})
    assert fused_latents(model, {"camera": inputs["camera"]}, known) == pytest.approx(wanted, abs=1e-6)
    assert fused_latents(model, inputs).dtype == np.float64


def test_a_modality_missing_at_inference_is_named(model, inputs):
    with pytest.raises(ValueError, match="sensor missing: this model fuses camera, sensor"):
        fused_latents(model, {"camera": inputs["camera"]})
    with pytest.raises(ValueError, match="camera, sensor missing"):
        fused_latents(model, {})
    with pytest.raises(ValueError, match="not radio"):
        fused_latents(model, inputs | {"radio": inputs["sensor"]})
