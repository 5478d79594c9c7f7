"""What a device can do, and what a model asks of it: matrix products, copies, operations, single layers."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["copy_rate", "layer_flops", "layer_table", "matrix_rates", "seconds_per_call", "synchronise"]


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seconds_per_call(task: Callable[[], object], device: torch.device, seconds: float, repeats: int = 5) -> float:
    """Median wall time of a task in about `seconds`, after one call to warm up.

    A repetition holds as many calls as fit its share of the time, so that an accelerator's queue stays full.
    """
    task()
    synchronise(device)
    start = time.perf_counter()
    task()
    synchronise(device)
    once = max(time.perf_counter() - start, 1e-7)
    calls = max(1, int(seconds / repeats / once))
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            task()
        synchronise(device)
        found.append((time.perf_counter() - start) / calls)
    return statistics.median(found)


def matrix_rates(device: torch.device, sides: Sequence[int], seconds: float) -> dict[str, float]:
    """FLOP/s of square matrix products, best of the given sides: ``bf16``, ``fp32`` and, on a GPU, ``tf32``.

    The factors are normal: products of zeros run faster than products of data.
    """
    kinds = {"bf16": (torch.bfloat16, False), "fp32": (torch.float32, False)}
    if device.type == "cuda":
        kinds["tf32"] = (torch.float32, True)
    best = {}
    for kind, (dtype, tensor_float) in kinds.items():
        rates = []
        for side in sides:
            a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
            out = torch.empty_like(a)
            with _tensor_float(tensor_float):
                # The arguments bind this size's matrices.
                took = seconds_per_call(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device, seconds)
            rates.append(2 * side**3 / took)
        best[kind] = max(rates)
    return best


@contextmanager
def _tensor_float(allowed: bool):
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def copy_rate(device: torch.device, size: int, seconds: float) -> float:
    """Bytes per second, read and written, of a copy of `size` bytes within the device's memory."""
    source = torch.randn(max(1, size // 4), device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds_per_call(lambda: target.copy_(source), device, seconds)


def layer_flops(layer: nn.Module, given: Sequence[int], returned: Sequence[int]) -> int:
    """Floating-point operations of one forward pass, two for every multiplication that meets an addition.

    `given` and `returned` are the shapes of the batches that go in and come out. Bias and activation are not counted,
    as is the custom. A backward pass takes as many for the weights, and as many again for the inputs.
    """
    if isinstance(layer, nn.Linear):
        return 2 * given[0] * layer.in_features * layer.out_features
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        # Every pixel of the coarse grid meets the whole kernel, whichever way the layer goes.
        coarse = returned if isinstance(layer, nn.Conv2d) else given
        return 2 * given[0] * math.prod(coarse[2:]) * layer.weight.numel()
    return 0


def layer_table(
    model: nn.Module, inputs: dict[str, Tensor], device: torch.device, seconds: float, mixed_precision: bool
) -> list[dict[str, Any]]:
    """Time and rate of every convolution and linear layer by itself, at the shapes that it meets in the model.

    ``forward_s``, ``backward_s``, ``flops`` (of both) and ``flop_per_s``; the dearest first. What the sum of the times
    leaves of a whole step's time went to activations, losses, the optimiser and to gaps between kernels.
    """
    met: list[tuple[str, nn.Module, Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, given, _, name=name: met.append((name, layer, given[0].detach())))
        for name, layer in model.named_modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))
    ]
    cast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed_precision)
    try:
        with torch.no_grad(), cast:
            model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    rows = []
    for name, layer, given in met:
        # Layers that see data need no gradient in them.
        first = name.startswith("encoders.") and name.endswith(".0")
        given = given.clone().requires_grad_(not first)
        with cast:
            out = layer(given)
        ahead = torch.randn_like(out)
        wanted = [*layer.parameters(), *([] if first else [given])]

        def forward(layer=layer, given=given) -> None:
            with torch.no_grad(), cast:
                layer(given)

        def backward(out=out, wanted=wanted, ahead=ahead) -> None:
            torch.autograd.grad(out, wanted, ahead, retain_graph=True)

        there, back = (seconds_per_call(task, device, seconds, repeats=3) for task in (forward, backward))
        flops = layer_flops(layer, given.shape, out.shape) * (2 if first else 3)
        rows.append(
            {
                "layer": name, "given": list(given.shape), "returned": list(out.shape), "forward_s": there,
                "backward_s": back, "flops": flops, "flop_per_s": flops / (there + back),
            }
        )  # fmt: skip
    return sorted(rows, key=lambda row: -row["forward_s"] - row["backward_s"])
