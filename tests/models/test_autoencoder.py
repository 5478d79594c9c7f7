import pytest
import torch

from mmfusion.fusion import FUSIONS
from mmfusion.models import ImageSpec, MultimodalAutoencoder, VectorSpec, parameter_count

CONTROLS = ("concat-matched", "sum-wide", "concat-scalar", "concat-scalars")
SPECS = {"camera": ImageSpec(18, (4, 3)), "sensor": VectorSpec(10, (8,))}


def batch(count=5, specs=SPECS):
    return {name: torch.rand(count, *spec.shape) for name, spec in specs.items()}


def model(fusion="sum", specs=SPECS, seed=0, **options):
    torch.manual_seed(seed)
    return MultimodalAutoencoder(specs, fusion, **options)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_shapes_in_and_out(fusion):
    net, inputs = model(fusion), batch()
    outputs = net(inputs)
    assert {name: tensor.shape for name, tensor in outputs.items()} == {n: t.shape for n, t in inputs.items()}
    latents = net.encode(inputs)
    assert {tensor.shape for tensor in latents.values()} == {(5, net.latent)}
    fused = net.fuse(latents)
    assert fused.shape == (5, net.fusion.fused_features)
    assert torch.equal(net.eval().decode(net.fuse(net.encode(inputs)))["sensor"], net(inputs)["sensor"])


def test_the_paper_s_model():
    specs = {"camera": ImageSpec(256), "sensor": VectorSpec(400)}
    counts = {name: parameter_count(model(name, specs)) for name in ("sum", "concat", "attention", *CONTROLS)}
    sensor = 64 * 400 + 64 + 197_664
    assert counts["sum"] == 1_146_144 + 1_146_115 + sensor + parameter_count(VectorSpec(400).decoder(288))
    # Concatenation doubles the input of both first decoder layers; attention adds two layers of 288 x 288 a modality.
    assert counts["concat"] - counts["sum"] == 32 * 32 * 25 + 288 * 256
    assert counts["attention"] - counts["concat"] == 2 * 2 * 288**2
    assert counts["concat-matched"] == counts["attention"]
    assert counts["sum-wide"] == counts["concat"]
    assert counts["concat-scalar"] - counts["concat"] == 1
    assert counts["concat-scalars"] - counts["concat"] == 2
    assert model("attention", specs).fusion.temperature == pytest.approx(288**0.5)


def test_one_seed_gives_the_same_encoders_under_every_fusion():
    models = {name: model(name, seed=3) for name in FUSIONS}
    reference = models["concat"]
    for name, net in models.items():
        pairs = zip(net.encoders.parameters(), reference.encoders.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs), name
        if net.fusion.fused_features == reference.fusion.fused_features:
            pairs = zip(net.decoders.parameters(), reference.decoders.parameters(), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs), name
    assert not torch.equal(model(seed=4).encoders["sensor"][0].weight, models["sum"].encoders["sensor"][0].weight)


def test_three_modalities():
    specs = {**SPECS, "wifi": VectorSpec(6, (8, 8))}
    net = model("attention", specs)
    assert net.fusion.fused_features == 3 * net.latent
    assert net(batch(specs=specs))["wifi"].shape == (5, 6)


def test_every_parameter_is_trained():
    net = model("attention")
    sum(tensor.square().sum() for tensor in net(batch()).values()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: model(specs={}), "at least one modality"),
        (lambda: model(specs={"a.b": VectorSpec(3)}, latent=4), "without dots, got 'a.b'"),
        (lambda: model(specs={"a": VectorSpec(3)}), "no image modality fixes the latent size"),
        (lambda: model(latent=7), "share one latent size, got \\{'camera': 27\\}, latent=7"),
        (lambda: model(specs={**SPECS, "second": ImageSpec(18, (4, 5))}), "'camera': 27, 'second': 45"),
        (lambda: model("attention", {"camera": SPECS["camera"]}), "at least 2 modalities"),
        (lambda: model("median"), "unknown fusion 'median'"),
    ],
)
def test_bad_configuration(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera": torch.rand(5, 3, 17, 18)}, "'camera' has shape \\(5, 3, 17, 18\\)"),
        ({"sensor": torch.full((5, 10), torch.nan)}, "'sensor' holds NaN"),
        ({"sensor": torch.rand(4, 10)}, "same number of samples"),
        ({"extra": torch.rand(5, 2)}, "has the modalities"),
    ],
)
def test_validate(change, message):
    net = model()
    net.validate(batch())
    with pytest.raises(ValueError, match=message):
        net.validate(batch() | change)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("camera",), "\\['camera', 'sensor'\\]; the batch lacks 'sensor'$"),
        ((), "lacks 'camera', 'sensor'$"),
        (("camera", "radar"), "lacks 'sensor' and brings 'radar'$"),
        (("radar", "camera", "sensor"), "the batch brings 'radar'$"),
    ],
)
def test_a_modality_that_is_missing_at_inference_is_named(given, message):
    inputs = {**batch(), "radar": torch.rand(5, 2)}
    inputs = {name: inputs[name] for name in given}
    for entry in (model().encode, model(), model().validate):
        with pytest.raises(ValueError, match=message):
            entry(inputs)


@pytest.mark.parametrize(
    ("name", "shape"), [("camera", (5, 3, 19, 19)), ("camera", (5, 1, 18, 18)), ("sensor", (5, 11))]
)
def test_shapes_of_another_model_stop_at_the_door(name, shape):
    inputs = {**batch(), name: torch.rand(*shape)}
    with pytest.raises(ValueError, match=rf"modality '{name}' has shape .*; wants \(batch, "):
        model()(inputs)
