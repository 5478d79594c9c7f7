"""`mmfusion bench`: the ratios this project holds itself to, each measured in one run on one thread.

Times on shared machines wander, so each figure is a ratio (or a rate) from medians of interleaved repetitions. These
are figures to look at and not tests; nothing fails when a neighbour is noisy.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

from mmfusion.cli import Parser, at_least

__all__ = ["main"]


def _median_seconds(*tasks: Callable[[], object], repeats: int) -> list[float]:
    """Median wall time of each task; the tasks take turns, so that what disturbs one disturbs all."""
    seconds: list[list[float]] = [[] for _ in tasks]
    for task in tasks:
        task()
    for _ in range(repeats):
        for times, task in zip(seconds, tasks, strict=True):
            start = time.perf_counter()
            task()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]


def frames_per_second(frames: int) -> dict[str, float]:
    """Simulated and ray-cast 64 × 64 frames of each scene per second of processor time, simulation included."""
    from mmfusion.data import scenes, simulated

    found = {}
    for name in scenes.VERSIONS:
        scene = scenes.build(name)
        start = time.process_time()
        simulated.generate(lambda scene=scene: scene, frames, 64, 0, workers=1)
        found[f"{name}: frames of 64 x 64 per second and core"] = frames / (time.process_time() - start)
    return found


def large_pictures(name: str, frames: int) -> dict[str, float]:
    """Wall time of a data set at 256 × 256 pixels on all cores, from nothing to the file on disk."""
    import tempfile

    from mmfusion.data import obtain

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        obtain(name, folder, frames, 256, 0, progress=False)
        return {f"{name}: {frames} frames of 256 x 256, stored [s]": time.perf_counter() - start}


def _small_model() -> tuple:
    import torch

    from mmfusion.models import MultimodalAutoencoder
    from mmfusion.models.encoders import specs_for

    generator = torch.Generator().manual_seed(0)
    data = {
        "camera": torch.rand(256, 3, 32, 32, generator=generator),
        "sensor": torch.randn(256, 400, generator=generator),
    }
    torch.manual_seed(0)
    return MultimodalAutoencoder(specs_for(data, (32, 16, 8), (64, 64)), "attention"), data


def step_ratio(repeats: int) -> float:
    """Speed of our training loop over that of a bare PyTorch loop: same model, data, batches and optimiser.

    Each is run for few and for many epochs, and the difference counts, so that setting up does not.
    """
    import torch

    from mmfusion.training import Settings, train

    (ours, data), (bare, _) = _small_model(), _small_model()
    optimiser = torch.optim.Adam(bare.parameters(), lr=1e-3, fused=True)
    one = {name: tensor[:1] for name, tensor in data.items()}

    def bare_loop(epochs: int) -> None:
        for _ in range(epochs):
            bare.train()
            for rows in torch.randperm(256).split(64):
                batch = {name: tensor[rows] for name, tensor in data.items()}
                optimiser.zero_grad()
                out = bare(batch)
                loss = sum(torch.nn.functional.mse_loss(out[name], batch[name]) for name in batch)
                loss.backward()
                optimiser.step()
            bare.eval()
            with torch.no_grad():
                bare(one)

    def our_loop(epochs: int) -> None:
        settings = Settings(epochs=epochs, batch_size=64, measure_every=1000, checkpoint_every=1000)
        train(ours, data, one, settings, seed=0, progress=False)

    few, many = 2, 10
    tasks = [lambda loop=loop, n=n: loop(n) for loop in (our_loop, bare_loop) for n in (few, many)]
    start, end, bare_start, bare_end = _median_seconds(*tasks, repeats=repeats)
    return (bare_end - bare_start) / (end - start)


def lower_bound_gain(repeats: int) -> dict[str, float]:
    """How much closer (as a ratio to the certified bound) power iteration comes than Algorithm 1 in the same time.

    Algorithm 1 is applied as printed, to the gradient of a scalar function whose constant is known by its certified
    bound: x -> |A x|²/2, gradient AᵀA x, in 288 dimensions.
    """
    import torch

    from mmfusion.measure.certified import certified_upper_bound
    from mmfusion.measure.lipschitz import algorithm1, spectral_lower_bound

    torch.manual_seed(0)
    matrix = torch.randn(32, 288, dtype=torch.float64) / 17
    layer = torch.nn.Linear(288, 288, bias=False, dtype=torch.float64)
    layer.weight.data = matrix.T @ matrix
    points = torch.randn(4, 288, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    found: dict[str, float] = {}

    def power() -> None:
        found["power"] = spectral_lower_bound(layer, points, 40, generator=generator).max().item()

    samples = 1000

    def sampled() -> None:
        found["algorithm1"] = algorithm1(
            lambda x: 0.5 * ((x @ matrix.T) ** 2).sum(-1), 288, samples, (-1.0, 1.0), generator=generator
        )

    first, second = _median_seconds(power, sampled, repeats=repeats)
    samples = max(100, int(samples * first / second))
    first, second = _median_seconds(power, sampled, repeats=repeats)
    upper = certified_upper_bound(layer, (288,))
    gaps = {name: upper / value for name, value in found.items()}
    return {
        "certified / power iteration": gaps["power"],
        "certified / Algorithm 1": gaps["algorithm1"],
        "times closer (ratio)": gaps["algorithm1"] / gaps["power"],
        "times closer (distance)": (upper - found["algorithm1"]) / max(upper - found["power"], 1e-12 * upper),
        "time of Algorithm 1 / time of power iteration": second / first,
    }


def book(edited: str) -> dict[str, float]:
    """`make book` in a copy of the tracked files with this environment: cold, again, and after one page is edited."""
    import os
    import resource
    import shutil
    import subprocess
    import tempfile
    from pathlib import Path

    root = Path(__file__).resolve().parents[1]
    tracked = subprocess.run(["git", "-C", root, "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in filter(None, tracked.split("\0")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, copy / name)
        (copy / ".venv").symlink_to(root / ".venv")
        # The environment's editable install points at `root`; the copy must come first.
        environment = {**os.environ, "PYTHONPATH": str(copy)}

        def make(label: str) -> None:
            start = time.perf_counter()
            done = subprocess.run(["make", "book"], cwd=copy, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"make book ({label}) failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
            found[f"make book, {label} [s]"] = time.perf_counter() - start

        make("cold")
        make("unchanged")
        before = {path: path.stat().st_mtime for path in copy.glob("_build/quick/executed/**/*.ipynb")}
        page = copy / edited
        page.write_text(page.read_text(encoding="utf-8") + "\nOne more line.\n", encoding="utf-8")
        make("one theory page edited")
        found["theory notebooks run again after the edit"] = sum(
            path.stat().st_mtime > before[path] for path in before if "book" not in path.parent.name
        )
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        found["largest process [GiB]"] = peak / 2**20
    return found


def _of_a_device(parser: Parser) -> list[argparse.Action]:
    """Options of :mod:`mmfusion.throughput`, which is not imported before one of them is used; all but ``--device``."""
    group = parser.add_argument_group("training speed on a device, and which settings pay")
    add = group.add_argument
    device = add("--device", help="measure the paper's model on this device instead: cpu, cuda, cuda:1")
    add("--size", type=at_least(8), default=256, help="pixels per side (default: %(default)s)")
    add("--channels", type=at_least(1), nargs="+", help="of the convolutions (default: the paper's)")
    add("--widths", type=at_least(1), nargs="+", help="of the sensor encoder (default: the paper's)")
    add("--fusion", default="attention", help="(default: %(default)s)")
    add("--batch", type=at_least(1), nargs="+", default=[64], help="batch size (default: 64); more: tried at the end")
    add(
        "--switches", nargs="*", help="what to try, in order: bfloat16 channels-last timed compiled free (default: all)"
    )
    add("--at-once", type=at_least(1), nargs="*", default=[], help="numbers of processes that share the device")
    add("--sides", type=at_least(1), nargs="+", help="of the matrix products (default: by device)")
    add("--seconds", type=float, default=4.0, help="for one measurement (default: %(default)s)")
    add("--minutes", type=float, default=8.0, help="after which no measurement begins (default: %(default)s)")
    add("--no-measurement", action="store_true", help="leave out the time of the Lipschitz constants")
    add("--out", help="JSON file for what is found, written after every measurement")
    return [action for action in group._group_actions if action is not device]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurements and print one line each; `--book` adds the (long) timing of the whole pipeline."""
    parser = Parser(prog="mmfusion bench", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=at_least(1), default=5, help="repetitions of a median (default: 5)")
    parser.add_argument("--book", action="store_true", help="also time make book: cold, unchanged, one page edited")
    parser.add_argument("--large", metavar="NAME", help="also time 2,000 frames of 256 x 256 of this scene, to disk")
    of_a_device = _of_a_device(parser)
    given = parser.parse_args(argv)
    if given.device is None:
        # Their defaults are those of a device; without one they would be ignored in silence.
        asked = [action for action in of_a_device if getattr(given, action.dest) != action.default]
        if asked:
            parser.error(f"{', '.join(a.option_strings[0] for a in asked)} measure a device: name it by --device")
    if given.large is not None:
        from mmfusion.data.scenes import VERSIONS

        if given.large not in VERSIONS:
            parser.error(f"unknown scene {given.large!r}; there are {', '.join(VERSIONS)}")
    if given.device is not None:
        from mmfusion import throughput

        return throughput.run(given)
    import torch
    from tqdm import tqdm

    torch.set_num_threads(1)
    stages: dict[str, Callable[[], dict[str, float]]] = {
        "frames": lambda: frames_per_second(420),
        "training step": lambda: {"bare loop's time / our loop's time": step_ratio(given.repeats)},
        "lower bound": lambda: lower_bound_gain(given.repeats),
    }
    if given.large:
        stages["large pictures"] = lambda: large_pictures(given.large, 2000)
    if given.book:
        stages["book"] = lambda: book("notebooks/lipschitz/gradients.md")
    for name in (bar := tqdm(stages, unit="measurement", leave=False)):
        bar.set_description(name)
        for label, value in stages[name]().items():
            tqdm.write(f"{label:60} {value:10.3f}")
    return 0
