"""`mmfusion bench --device cuda`: how fast a device trains the paper's model, and which settings pay.

Starts from plain settings and turns one switch after the other; a switch that pays stays on. Then other batch sizes and
several trials at once. What is found is written after every step, so that a command cut short keeps what it has.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import queue
import resource
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from os import PathLike
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from mmfusion import ceilings, records
from mmfusion.data.corruption import corrupt
from mmfusion.measure.autoencoder import measure_autoencoder
from mmfusion.models import PAPER_CHANNELS, PAPER_WIDTHS, MultimodalAutoencoder, parameter_count, specs_for
from mmfusion.training import Loop, Settings, find_device

SCHEMA = "throughput/1"
# One switch after the other, in this order; each is a change of the settings.
SWITCHES: dict[str, dict[str, Any]] = {
    "bfloat16": {"mixed_precision": True},
    "channels-last": {"channels_last": True},
    "timed": {"algorithms": "timed"},
    "compiled": {"compile": True},
    "free": {"algorithms": "free"},
}
# Faster by less than this is noise.
PAYS = 1.02


@dataclass(frozen=True)
class Workload:
    """A model and how it is trained, without the switches.

    ``size`` in pixels, ``sensor`` the numbers of a flattened window, ``samples`` those of one epoch.
    """

    device: str = "cpu"
    size: int = 256
    channels: Sequence[int] = PAPER_CHANNELS
    widths: Sequence[int] = PAPER_WIDTHS
    sensor: int = 400
    fusion: str = "attention"
    batch: int = 64
    samples: int = 512

    def loop(self, **switches: Any) -> Loop:
        """A training loop on made-up samples, ready to step."""
        torch.manual_seed(0)
        samples = _samples(self.samples, self.size, self.sensor)
        model = MultimodalAutoencoder(specs_for(samples, self.channels, self.widths), self.fusion)
        few = {name: tensor[: self.batch] for name, tensor in samples.items()}
        settings = Settings(batch_size=self.batch, weight_l2=1e-5, device=self.device, **switches)
        return Loop(model, samples, few, settings, 0, lambda batch, generator: corrupt(batch, 0.3, generator))


@lru_cache(maxsize=1)
def _samples(count: int, size: int, sensor: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "camera": torch.rand(count, 3, size, size, generator=generator),
        "sensor": torch.randn(count, sensor, generator=generator),
    }


def flops_per_step(loop: Loop) -> int:
    """Floating-point operations of one training step, forward and backward, as PyTorch counts them.

    Convolutions and matrix products, two for every multiplication that meets an addition; nothing else is counted, and
    nothing twice: a model that is computed again for the backward pass gets no credit for it.
    """
    if loop.forward is not loop.model:
        raise ValueError("operations are counted on a loop without compilation, which hides them")
    batch = _batch(loop)
    loop.model.train()
    with loop.settings.convolutions(), FlopCounterMode(display=False) as counter:
        loop.step(batch, batch)
    return counter.get_total_flops()


def speed(loop: Loop, seconds: float) -> dict[str, Any]:
    """Time of a training step, and of an epoch with sampling, corruption and what else belongs to it.

    ``peak_bytes`` is the memory of the device's tensors at their most; on a CPU, of the whole process so far.
    ``host_waits`` counts how often in an epoch the host waited for the device (CUDA only).
    """
    device, batch = loop.device, _batch(loop)
    cuda = device.type == "cuda"
    loop.model.train()
    _forget_peak(device)
    start = time.perf_counter()
    with loop.settings.convolutions():
        loop.step(batch, batch)
        loop.step(batch, batch)
        ceilings.synchronise(device)
        ready = time.perf_counter() - start
        step = ceilings.seconds_per_call(lambda: loop.step(batch, batch), device, seconds / 2)
        epoch = ceilings.seconds_per_call(loop.epoch, device, seconds / 2, repeats=3)
        waits = _host_waits(loop) if cuda else None
    size = loop.settings.batch_size
    return {
        "step_s": step, "epoch_s": epoch, "images_per_s": size / step, "images_per_s_epoch": loop.samples / epoch,
        "first_steps_s": ready, "peak_bytes": _peak(device), "host_waits": waits,
    }  # fmt: skip


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # In kB on Linux.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _host_waits(loop: Loop) -> int:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            loop.epoch()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in seen)


def _batch(loop: Loop) -> dict[str, torch.Tensor]:
    return {name: tensor[: loop.settings.batch_size] for name, tensor in loop.train_set.items()}


def together(workload: Workload, switches: Mapping[str, Any], processes: int, seconds: float) -> dict[str, Any]:
    """Images per second of several training processes on one device, all of them together.

    Raises
    ------
    RuntimeError : a process failed or did not answer; out of memory, as a rule.
    """
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes), context.Queue()
    jobs = [
        context.Process(target=_trial, args=(workload, dict(switches), barrier, answers, seconds), daemon=True)
        for _ in range(processes)
    ]
    for job in jobs:
        job.start()
    try:
        found = [answers.get(timeout=seconds + 180) for _ in jobs]
    except queue.Empty:
        raise RuntimeError(f"{processes} processes at once did not all answer") from None
    finally:
        for job in jobs:
            job.join(5)
            if job.is_alive():
                job.terminate()
    broken = [answer for answer in found if isinstance(answer, str)]
    if broken:
        # One that failed makes the others give up.
        raise RuntimeError(min(broken, key=lambda why: why.startswith("BrokenBarrierError")))
    return {"processes": processes, "images_per_s_epoch": sum(found), "each": found}


def _trial(workload: Workload, switches: dict, barrier, answers, seconds: float) -> None:
    """One of several processes: train for a while once all are warm."""
    try:
        torch.set_num_threads(1)
        loop = workload.loop(**switches)
        with loop.settings.convolutions():
            loop.epoch()
            ceilings.synchronise(loop.device)
            barrier.wait(170)
            start, epochs = time.perf_counter(), 0
            while time.perf_counter() - start < seconds:
                loop.epoch()
                epochs += 1
            answers.put(epochs * loop.samples / (time.perf_counter() - start))
    except Exception as error:  # The parent must hear of it, whatever it is.
        barrier.abort()
        answers.put(f"{type(error).__name__}: {error}")


def machine(device: torch.device) -> dict[str, Any]:
    """The device and the versions that decide its speed."""
    about = {"device": str(device), "processor": platform.machine(), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        about |= {"multiprocessors": card.multi_processor_count, "memory_bytes": card.total_memory}
    return about | records.provenance(**records.hardware(str(device)))


class Bench:
    """The measurements in their order, with what they found so far."""

    def __init__(self, workload: Workload, seconds: float, minutes: float | int, out: str | PathLike | None) -> None:
        self.workload, self.seconds, self.out = workload, seconds, out
        self.device = find_device(workload.device)
        self.until = time.monotonic() + 60 * minutes
        self.found: dict[str, Any] = {
            "schema": SCHEMA, "machine": machine(self.device), "workload": asdict(workload), "steps": [], "skipped": [],
        }  # fmt: skip

    def attempt(self, name: str, task) -> Any:
        """What the task finds; ``None`` where time is up or it fails, and the record says so."""
        if time.monotonic() > self.until:
            self.found["skipped"].append({"what": name, "why": "no time left"})
            return None
        try:
            result = task()
        except (RuntimeError, ValueError) as error:
            # Out of memory, a compiler that is missing: the others can still be measured.
            why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            self.found["skipped"].append({"what": name, "why": why})
            print(f"{name:34} not measured: {why}", flush=True)
            return None
        finally:
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return result

    def save(self) -> None:
        if self.out is not None:
            records.write(self.out, self.found)

    def ceilings(self, sides: Sequence[int]) -> None:
        self.found["matrix_flop_per_s"] = ceilings.matrix_rates(self.device, sides, self.seconds / 4)
        size = 2**32 if self.device.type == "cuda" else 2**26
        self.found["copy_bytes_per_s"] = ceilings.copy_rate(self.device, size, self.seconds / 4)
        self.save()
        for kind, rate in self.found["matrix_flop_per_s"].items():
            print(f"{'matrix product, ' + kind:34} {rate / 1e12:9.2f} TFLOP/s")
        print(f"{'copy, read and written':34} {self.found['copy_bytes_per_s'] / 1e9:9.1f} GB/s", flush=True)

    def step(self, name: str, workload: Workload, switches: Mapping[str, Any]) -> dict[str, Any] | None:
        """One setting: speed, operations and their share of the device's rate."""

        def task() -> dict[str, Any]:
            flops = flops_per_step(workload.loop(**{**switches, "compile": False}))
            loop = workload.loop(**switches)
            row = speed(loop, self.seconds)
            row["flops_per_image"] = flops / workload.batch
            row["flop_per_s"] = row["flops_per_image"] * row["images_per_s"]
            # Always against the fastest rate that the precision of the products has on this device.
            rates = self.found["matrix_flop_per_s"]
            row["against"] = "bf16" if switches.get("mixed_precision") else "tf32" if "tf32" in rates else "fp32"
            row["share"] = row["flop_per_s"] / rates[row["against"]]
            row["share_epoch"] = row["share"] * row["images_per_s_epoch"] / row["images_per_s"]
            return {"name": name, "batch": workload.batch, "switches": dict(switches), **row}

        row = self.attempt(name, task)
        if row:
            self.found["steps"].append(row)
            print(
                f"{name:34} {row['images_per_s']:9.1f} images/s {row['flop_per_s'] / 1e12:8.2f} TFLOP/s = "
                f"{row['share']:5.1%} of {row['against']}; with data {row['images_per_s_epoch']:9.1f} images/s; "
                f"{row['peak_bytes'] / 2**30:.2f} GiB",
                flush=True,
            )
        self.save()
        return row

    def climb(self, names: Sequence[str]) -> dict[str, Any]:
        """Turn one switch after the other; the settings that pay."""
        kept: dict[str, Any] = {"channels_last": False}
        best = self.step("single precision", self.workload, kept)
        for name in names:
            tried = {**kept, **SWITCHES[name]}
            row = self.step("+ " + name, self.workload, tried)
            if row and (best is None or row["images_per_s"] > PAYS * best["images_per_s"]):
                kept, best = tried, row
        self.found["best"] = {"switches": kept, "step": best}
        self.save()
        return kept

    def rest(self, kept: Mapping[str, Any], batches: Sequence[int], at_once: Sequence[int], measure: bool) -> None:
        """With the settings that pay: single layers, other batches, several processes, the Lipschitz measurement."""
        loop = self.attempt("layers", lambda: self.workload.loop(**{**kept, "compile": False}))
        if loop:
            with loop.settings.convolutions():
                self.found["layers"] = self.attempt(
                    "layers",
                    lambda: ceilings.layer_table(
                        loop.model, _batch(loop), self.device, self.seconds / 20, kept.get("mixed_precision", False)
                    ),
                )
            for row in (self.found["layers"] or [])[:6]:
                took = 1e3 * (row["forward_s"] + row["backward_s"])
                print(f"{row['layer']:34} {took:9.3f} ms       {row['flop_per_s'] / 1e12:8.2f} TFLOP/s", flush=True)
        self.save()
        for batch in batches:
            self.step(f"batch {batch}", replace(self.workload, batch=batch, samples=8 * batch), kept)
        self.found["together"] = []
        for processes in at_once:
            row = self.attempt(
                f"{processes} at once", lambda n=processes: together(self.workload, kept, n, self.seconds)
            )
            if row:
                self.found["together"].append(row)
                print(
                    f"{f'{processes} trials at once, with data':34} {row['images_per_s_epoch']:9.1f} images/s",
                    flush=True,
                )
            self.save()
        if measure and loop:
            if row := self.attempt("Lipschitz constants", lambda: self._measurement(loop)):
                self.found |= row
                print(
                    f"{'Lipschitz constants, 8 samples':34} {row['measurement_s']:9.2f} s; "
                    f"{row['measurement_peak_bytes'] / 2**30:.2f} GiB",
                    flush=True,
                )
            self.save()

    def _measurement(self, loop: Loop) -> dict[str, float]:
        points = {name: tensor[:8] for name, tensor in loop.train_set.items()}
        loop.model.eval()
        _forget_peak(self.device)
        # The first call also warms up.
        for _ in range(2):
            start = time.perf_counter()
            with loop.settings.convolutions():
                measure_autoencoder(loop.model, points, samples=8)
            took = time.perf_counter() - start
            if time.monotonic() > self.until:
                break
        return {"measurement_s": took, "measurement_peak_bytes": _peak(self.device)}

    def summary(self, epochs: int, samples: int, measurements: int) -> None:
        """How long a run takes, from what was measured."""
        best = self.found["best"]["step"]
        if best is None:
            return
        rate = max([best["images_per_s_epoch"], *(row["images_per_s_epoch"] for row in self.found.get("together", []))])
        training = epochs * samples / rate
        whole = training + measurements * (self.found.get("measurement_s") or 0)
        self.found["run_s"] = {"epochs": epochs, "samples": samples, "training": training, "with_measurements": whole}
        self.save()
        print(f"\nbest: {json.dumps(self.found['best']['switches'])}")
        print(f"model FLOP/s over the measured matrix-product rate: {best['share']:.1%} (wanted on a GPU: 40 %)")
        print(f"one run of {epochs} epochs of {samples} samples: {training:.0f} s, measurements included {whole:.0f} s")
        for item in self.found["skipped"]:
            print(f"not measured: {item['what']}: {item['why']}")


def run(given: argparse.Namespace) -> int:
    """All measurements, as the command line asks for them."""
    torch.set_num_threads(1)
    unknown = [name for name in given.switches or () if name not in SWITCHES]
    if unknown:
        raise ValueError(f"unknown switches {unknown}; there are {list(SWITCHES)}")
    batch = given.batch[0]
    workload = Workload(
        given.device, given.size, tuple(given.channels or PAPER_CHANNELS), tuple(given.widths or PAPER_WIDTHS),
        fusion=given.fusion, batch=batch, samples=8 * batch,
    )  # fmt: skip
    bench = Bench(workload, given.seconds, given.minutes, given.out)
    model = replace(workload, samples=1).loop().model
    print(
        f"{parameter_count(model):,} parameters; {workload.size} x {workload.size} pixels, batches of {workload.batch}"
    )
    sides = given.sides or ((4096, 8192, 16384) if bench.device.type == "cuda" else (512, 1024))
    bench.ceilings(sides)
    kept = bench.climb(list(SWITCHES) if given.switches is None else given.switches)
    bench.rest(kept, given.batch[1:], given.at_once, not given.no_measurement)
    bench.summary(Settings().epochs, 1500, 1 + Settings().epochs // Settings().measure_every)
    return 0
