"""Readers of published data sets, from a folder that the user holds.

Reading is slow (videos, large JSON), so that the arrays are kept in the cache folder (`store.default_root`) under a
name that depends on the contents of the files read, on what was asked and on the reader's version. The user's folder
is never written to.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmfusion import records
from mmfusion.data import store
from mmfusion.data.published import industrial, report, robomnist
from mmfusion.data.published.report import Arrays, Plan
from mmfusion.data.store import DataError


@dataclass(frozen=True)
class Reader:
    """How a published data set is read: ``plan(name, root, frames, seed, options)`` decides what, and how."""

    version: int
    plan: Callable[..., Plan]
    source: str


READERS = {
    "robomnist": Reader(robomnist.VERSION, robomnist.plan, "doi:10.6084/m9.figshare.28179383"),
    "industrial-mujoco": Reader(industrial.VERSION, industrial.plan, "Zenodo 14041622"),
    "industrial-single": Reader(industrial.VERSION, industrial.plan, "Zenodo 14041488"),
    "industrial-dual": Reader(industrial.VERSION, industrial.plan, "Zenodo 14041416"),
}


def read(
    name: str,
    root: str | Path | None,
    frames: int,
    size: int,
    seed: int,
    options: Mapping,
    advance: Callable[[int], object],
) -> tuple[Arrays, dict, Path, float | None]:
    """Arrays, metadata (with the ``report``), the cached file, and the seconds that reading took (None: cached).

    ``frames`` bounds the samples; fewer where the folder has fewer. Raises `DataError` for everything that is wrong
    with the folder, the options or the cache, in one line that names the file and what is wanted.
    """
    reader = READERS[name]
    plan = reader.plan(name, root, frames, seed, options)
    cache = store.default_root()
    if cache.resolve().is_relative_to(plan.root):
        raise DataError(f"the cache folder {cache} lies in the data folder; set MMFUSION_CACHE to another place")
    files = report.listed(plan)
    wanted = {
        "name": name, "frames": frames, "size": size, "seed": seed, "version": reader.version,
        "options": dict(options), "files": report.digest(files),
    }  # fmt: skip
    path = cache / f"{name}-v{reader.version}-f{frames}-p{size}-s{seed}-{records.digest(wanted)[:16]}.npz"
    try:
        arrays, metadata = store.read(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    else:
        label = {key: metadata.get(key) for key in wanted}
        if label != wanted:
            raise DataError(f"{path} holds {label}, wanted {wanted}; move the file or choose another cache folder")
        # What else lies in the folder may have changed since.
        metadata["report"] = {**metadata["report"], "found": dict(plan.found), "ignored": list(plan.ignored)}
        return arrays, metadata, path, None
    store.prepare(cache)
    began = time.perf_counter()
    arrays, notes, facts = plan.read(size, advance)
    found = {
        "source": reader.source, "found": dict(plan.found), "files": files, "digest": wanted["files"], **facts,
        "constant": report.still(arrays, notes["channels"]), "ignored": list(plan.ignored),
    }  # fmt: skip
    metadata = {**notes, **wanted, "report": found, "digest": store.digest(arrays)}
    store.write(path, arrays, metadata)
    return arrays, metadata, path, time.perf_counter() - began
