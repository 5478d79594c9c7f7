"""Fusion operators: modules that turn one latent vector per modality into one fused vector.

Every operator maps ``{modality: (batch, latent)}`` to ``(batch, fused_features)``. The order in which the
modalities are given to the constructor is the order of the blocks in the output, whatever the order of the mapping
at call time. Under automatic mixed precision attention computes in single precision: its output is a cubic form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmfusion.latent_maps import LatentMaps

Features = Mapping[str, Float[Tensor, "batch latent"]]

SCALED_OUTPUTS = ("unit", "original")


class Fusion(nn.Module):
    """Base of all operators: checks the inputs and stacks them.

    Parameters
    ----------
    modalities : names of the modalities, at least one and no two alike.
    latent : size of every modality's latent vector.

    Attributes
    ----------
    fused_features : number of features of the output.
    penalised : whether the L2 term of the training objective applies to the operator's weights.

    Raises
    ------
    ValueError : no modality, a repeated one, or a latent size below 1; at call time, inputs of another shape.
    """

    fused_features: int
    penalised: bool = False

    def __init__(self, modalities: Iterable[str], latent: int, *, at_least: int = 1) -> None:
        super().__init__()
        if isinstance(modalities, str):
            raise TypeError(f"modalities must be a collection of names, got the single string {modalities!r}")
        names = tuple(modalities)
        if len(set(names)) != len(names):
            raise ValueError(f"modalities must differ from each other, got {list(names)}")
        if len(names) < at_least:
            count = "one modality" if at_least == 1 else f"{at_least} modalities"
            raise ValueError(f"{type(self).__name__} needs at least {count}, got {list(names)}")
        if latent < 1:
            raise ValueError(f"latent must be at least 1, got {latent}")
        self.modalities = names
        self.latent = int(latent)

    def extra_repr(self) -> str:
        return f"modalities={list(self.modalities)}, latent={self.latent}, fused_features={self.fused_features}"

    def stack(self, inputs: Features) -> Float[Tensor, "batch modality latent"]:
        """The inputs as one tensor, modalities in the constructor's order, after checking names and shapes."""
        if set(inputs) != set(self.modalities):
            missing = [name for name in self.modalities if name not in inputs]
            extra = [name for name in inputs if name not in self.modalities]
            raise ValueError(
                f"{type(self).__name__} fuses {list(self.modalities)}; missing: {missing}, unexpected: {extra}"
            )
        tensors = [inputs[name] for name in self.modalities]
        batch = tensors[0].shape[0] if tensors[0].ndim else 0
        for name, tensor in zip(self.modalities, tensors, strict=True):
            if tensor.ndim != 2 or tensor.shape[1] != self.latent or tensor.shape[0] != batch:
                shapes = {key: tuple(inputs[key].shape) for key in self.modalities}
                raise ValueError(
                    f"{type(self).__name__} wants (batch, {self.latent}) for every modality with one common batch "
                    f"size; {name!r} does not fit in {shapes}"
                )
        return torch.stack(tensors, dim=1)

    def validate_inputs(self, inputs: Features) -> None:
        """Check names, shapes and that every number is finite.

        The forward pass checks names and shapes only, since reading values back would stall an accelerator.

        Raises
        ------
        ValueError : names or shapes do not fit, or a value is NaN or infinite.
        """
        self.stack(inputs)
        for name in self.modalities:
            broken = int((~torch.isfinite(inputs[name])).sum())
            if broken:
                raise ValueError(f"modality {name!r} holds {broken} values that are NaN or infinite; wants finite")

    def penalised_parameters(self) -> Iterator[nn.Parameter]:
        """The weights that Eq. (7) of Altinses and Schwung pulls towards zero; none unless ``penalised``."""
        return self.parameters() if self.penalised else iter(())


class Sum(Fusion):
    """``scale * (v_1 + ... + v_n)``; all latent sizes must agree (paper A, section 3.4). No parameters.

    With ``wide`` the sum is written n times in a row. Decoders then have the input, and the weights, that they have
    after concatenation; what they can compute is still only what they can compute from the sum.
    """

    def __init__(self, modalities: Iterable[str], latent: int, scale: float = 1.0, *, wide: bool = False) -> None:
        super().__init__(modalities, latent)
        self.scale = float(scale)
        self.copies = len(self.modalities) if wide else 1
        self.fused_features = self.latent * self.copies

    def forward(self, inputs: Features) -> Float[Tensor, "batch fused"]:
        return _scaled(self.stack(inputs).sum(dim=1), self.scale).repeat(1, self.copies)


class Concat(Fusion):
    """``scale * [v_1; ...; v_n]`` (paper A, section 3.4)."""

    def __init__(self, modalities: Iterable[str], latent: int, scale: float = 1.0) -> None:
        super().__init__(modalities, latent)
        self.scale = float(scale)
        self.fused_features = self.latent * len(self.modalities)

    def forward(self, inputs: Features) -> Float[Tensor, "batch fused"]:
        return _scaled(self.stack(inputs).flatten(start_dim=1), self.scale)


class BilinearAttention(Fusion):
    """Pairwise-averaged bilinear attention (Definition 4.1 of paper A), for any number of modalities from two.

    With score maps ``f_i`` the output is ``[alpha_1 v_1; ...; alpha_n v_n]``, where ``alpha_i`` is the mean over
    ``j != i`` of ``a_ij = f_i(v_i) . f_j(v_j)``. For two modalities ``alpha_1 = alpha_2``: the operator is then
    concatenation times one scalar. Without biases it is positively homogeneous of degree three.

    Parameters
    ----------
    modalities, latent : see :class:`Fusion`; at least two modalities.
    layers, bias, spectral : see :class:`~mmfusion.latent_maps.LatentMaps`.
    penalised : whether the L2 term of the training objective (Eq. 7) applies to the score maps.
    """

    def __init__(
        self,
        modalities: Iterable[str],
        latent: int,
        layers: int = 1,
        *,
        bias: bool = False,
        spectral: str | None = None,
        penalised: bool = False,
    ) -> None:
        super().__init__(modalities, latent, at_least=2)
        self.fused_features = self.latent * len(self.modalities)
        self.penalised = penalised
        self.score_maps = LatentMaps(len(self.modalities), self.latent, layers, bias=bias, spectral=spectral)
        self.register_buffer("others", ~torch.eye(len(self.modalities), dtype=torch.bool), persistent=False)
        self.others: Bool[Tensor, "modality modality"]

    def attended(self, stacked: Float[Tensor, "batch modality latent"]) -> Float[Tensor, "batch modality latent"]:
        """The vectors that are scored."""
        return stacked

    def scores(self, stacked: Float[Tensor, "batch modality latent"]) -> Float[Tensor, "batch modality modality"]:
        """Pairwise scores ``a_ij``, with zeros in place of ``a_ii``."""
        mapped = self.score_maps(self.attended(stacked))
        # Masking instead of subtracting |f_i|^2 from a total keeps small scores exact beside large vectors.
        return (mapped @ mapped.mT) * self.others

    def coefficients(self, inputs: Features) -> Float[Tensor, "batch modality"]:
        """The attention coefficients ``alpha_i``, one column per modality."""
        return self._coefficients(_single(self.stack(inputs)))

    def _coefficients(self, stacked: Float[Tensor, "batch modality latent"]) -> Float[Tensor, "batch modality"]:
        return self.scores(stacked).sum(dim=-1) / (len(self.modalities) - 1)

    def carried(self, stacked: Float[Tensor, "batch modality latent"]) -> Float[Tensor, "batch modality latent"]:
        """The vectors that the coefficients scale."""
        return stacked

    def forward(self, inputs: Features) -> Float[Tensor, "batch fused"]:
        with _full_precision(inputs):
            stacked = _single(self.stack(inputs))
            return (self._coefficients(stacked).unsqueeze(-1) * self.carried(stacked)).flatten(start_dim=1)


class NormalisedAttention(BilinearAttention):
    """Bilinear attention with the controls of section 4.5.1 of paper A, each of which can be turned off.

    Parameters
    ----------
    unit_inputs : score ``v / max(|v|, eps)`` instead of ``v``.
    scale_output : what the coefficients scale if ``unit_inputs``. ``"unit"`` (default): the normalised vectors, since
        the section replaces the input vectors themselves and promises bounded output; the map is then blind to the
        scale of the encoders, and 2 / (r sqrt(d)) bounds its Lipschitz constant where all norms are at least
        r >= eps. ``"original"``: the raw vectors, as in Definition 4.1; this variant has no Lipschitz constant that
        holds for all inputs, because the coefficients jump where one norm goes to zero.
    spectral : see :class:`~mmfusion.latent_maps.LatentMaps`; the default is the printed quotient.
    temperature : the scores are divided by it; ``None`` means sqrt(latent).
    eps : floor of the norms. A last layer with ReLU can output exactly zero, where the printed method is undefined;
        with the floor, value and gradient are finite everywhere, and for linear score maps of norm at most one the
        "unit" variant has the constant 3 / (eps sqrt(d)) on the whole space.
    """

    def __init__(
        self,
        modalities: Iterable[str],
        latent: int,
        layers: int = 1,
        *,
        bias: bool = False,
        unit_inputs: bool = True,
        scale_output: str = "unit",
        spectral: str | None = "quotient",
        temperature: float | None = None,
        eps: float = 1e-6,
        penalised: bool = False,
    ) -> None:
        super().__init__(modalities, latent, layers, bias=bias, spectral=spectral, penalised=penalised)
        if scale_output not in SCALED_OUTPUTS:
            raise ValueError(f"scale_output must be one of {list(SCALED_OUTPUTS)}, got {scale_output!r}")
        temperature = math.sqrt(self.latent) if temperature is None else float(temperature)
        for name, value in (("temperature", temperature), ("eps", eps)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        self.unit_inputs = unit_inputs
        self.scale_output = scale_output
        self.temperature = temperature
        self.eps = float(eps)

    def attended(self, stacked: Float[Tensor, "batch modality latent"]) -> Float[Tensor, "batch modality latent"]:
        if not self.unit_inputs:
            return stacked
        # The floor sits under the square root: its derivative is infinite at zero.
        squared = stacked.square().sum(dim=-1, keepdim=True)
        return stacked / squared.clamp_min(self.eps**2).sqrt()

    def scores(self, stacked: Float[Tensor, "batch modality latent"]) -> Float[Tensor, "batch modality modality"]:
        return super().scores(stacked) / self.temperature

    def carried(self, stacked: Float[Tensor, "batch modality latent"]) -> Float[Tensor, "batch modality latent"]:
        return self.attended(stacked) if self.scale_output == "unit" else stacked


class MatchedConcat(Concat):
    """Concatenation with exactly as many parameters as attention: ``[v_1 + g_1(v_1); ...; v_n + g_n(v_n)]``.

    The maps ``g_i`` have the shape of attention's score maps, so that capacity is equal and only the interaction
    between modalities is missing. It is the control for the claim that the *interaction* is what helps.
    """

    def __init__(
        self, modalities: Iterable[str], latent: int, layers: int = 2, *, bias: bool = False, scale: float = 1.0
    ) -> None:
        super().__init__(modalities, latent, scale)
        self.latent_maps = LatentMaps(len(self.modalities), self.latent, layers, bias=bias)

    def forward(self, inputs: Features) -> Float[Tensor, "batch fused"]:
        with _full_precision(inputs):
            stacked = _single(self.stack(inputs))
            return _scaled((stacked + self.latent_maps(stacked)).flatten(start_dim=1), self.scale)


class ScalarConcat(Concat):
    """Concatenation times learned numbers: ``scale * [c v_1; ...; c v_n]``, or with a number of its own for each block.

    For two modalities attention is concatenation times one number that depends on the sample (see
    :class:`BilinearAttention`). Here the number is learned and the same for all samples: the control for the claim that
    *attending* is what helps. One parameter if ``shared``, else one a modality; all begin at one, as concatenation.
    """

    def __init__(self, modalities: Iterable[str], latent: int, *, shared: bool = True, scale: float = 1.0) -> None:
        super().__init__(modalities, latent, scale)
        self.scalars = nn.Parameter(torch.ones(1 if shared else len(self.modalities)))

    def forward(self, inputs: Features) -> Float[Tensor, "batch fused"]:
        return _scaled((self.stack(inputs) * self.scalars.unsqueeze(-1)).flatten(start_dim=1), self.scale)


FUSIONS = (
    "sum",
    "concat",
    "attention",
    "attention-plain",
    "attention-scaled",
    "attention-regularised",
    "attention-original",
    "sum-scaled",
    "concat-scaled",
    "concat-matched",
    "sum-wide",
    "concat-scalar",
    "concat-scalars",
)


def make_fusion(name: str, modalities: Sequence[str], latent: int, **options) -> Fusion:
    """Build a fusion operator by name.

    ======================  ==========================================================================================
    sum, concat             the linear operators
    attention-plain         Definition 4.1 with the two-layer score maps of section 5.3
    attention-scaled        unit inputs and scores / sqrt(latent), nothing else
    attention-regularised   spectral quotient and L2 penalty, nothing else
    attention               the full method: unit inputs, 1 / sqrt(latent), spectral quotient, L2 penalty
    attention-original      the full method in the other reading: the coefficients scale the raw vectors
    sum-scaled              control: sum / sqrt(latent)
    concat-scaled           control: concatenation / sqrt(latent)
    concat-matched          control: concatenation with the parameter count of attention
    sum-wide                control: the sum written n times, so that decoders are those of concatenation
    concat-scalar           control: concatenation times one learned number
    concat-scalars          control: concatenation, each block times a learned number of its own
    ======================  ==========================================================================================

    Parameters, with n modalities of latent size d: 2 n d² under ``concat-matched`` and every attention, n under
    ``concat-scalars``, one under ``concat-scalar``, none under the others. Features of the output: d under ``sum`` and
    ``sum-scaled``, n d under all others.

    Options go to the operator's constructor and win over the defaults above. The strength of the L2 penalty is an
    option of training, not of the operator.

    Raises
    ------
    ValueError : unknown name, or an option that the operator refuses.
    TypeError : an option that the operator does not know.
    """
    latent = int(latent)
    scale = 1 / math.sqrt(latent) if latent > 0 else 1.0
    table: dict[str, tuple[type[Fusion], dict]] = {
        "sum": (Sum, {}),
        "concat": (Concat, {}),
        "sum-scaled": (Sum, {"scale": scale}),
        "concat-scaled": (Concat, {"scale": scale}),
        "concat-matched": (MatchedConcat, {"layers": 2}),
        "sum-wide": (Sum, {"wide": True}),
        "concat-scalar": (ScalarConcat, {}),
        "concat-scalars": (ScalarConcat, {"shared": False}),
        "attention-plain": (BilinearAttention, {"layers": 2}),
        "attention-scaled": (NormalisedAttention, {"layers": 2, "spectral": None}),
        "attention-regularised": (BilinearAttention, {"layers": 2, "spectral": "quotient", "penalised": True}),
        "attention": (NormalisedAttention, {"layers": 2, "penalised": True}),
        "attention-original": (
            NormalisedAttention,
            {"layers": 2, "penalised": True, "scale_output": "original"},
        ),
    }
    if name not in table:
        raise ValueError(f"unknown fusion {name!r}; wants one of {list(FUSIONS)}")
    operator, defaults = table[name]
    return operator(modalities, latent, **{**defaults, **options})


def _scaled(fused: Float[Tensor, "batch fused"], scale: float) -> Float[Tensor, "batch fused"]:
    return fused if scale == 1.0 else fused * scale


def _single(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _full_precision(inputs: Features) -> torch.autocast:
    return torch.autocast(next(iter(inputs.values())).device.type, enabled=False)
