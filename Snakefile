"""The whole book, from data to page.

    snakemake --cores all                      the book, profile quick, into _build/html
    snakemake --cores all --config profile=smoke preview
    snakemake --profile workflow/slurm         the same graph on a SLURM cluster

data -> train (one job a fusion) -> results; theory and printed numbers beside it; then landing page, ledger, book.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)
from workflow import imports, settings, stage  # noqa: E402

# One thread a job: the jobs run side by side, and results do not depend on the machine's cores.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ["PYTHONHASHSEED"] = "0"
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

NAME = config.get("profile", "quick")
try:
    PROFILE = settings.read(f"profiles/{NAME}.yml")
except settings.ProfileError as error:
    raise WorkflowError(str(error)) from None
BUILD = f"_build/{NAME}"
EXECUTED = f"{BUILD}/executed"
CLAIMS = f"{BUILD}/records/claims"
# A page writes its claim record piece by piece; it counts as evidence once the page has run to its end.
UNFINISHED = f"{BUILD}/records/unfinished"
LOCK = "requirements.lock"

THEORY = [
    "lipschitz/" + page
    for page in (
        "gradients", "reconstruction", "aggregation", "attention", "attention-gradient", "normalisation",
        "estimation", "printed-numbers",
    )
]
DATA = PROFILE["data"]
TRAIN = PROFILE["train"]
DATA_CODE = imports.closure("import mmfusion.data")
# Data lie in a folder named by the code that makes them: another version never reuses them. A run's record carries
# the digests of its data, settings and code, so that a finished run is kept exactly as long as it is still right.
DATA_ROOT = f"{BUILD}/data/{imports.digest(DATA_CODE)}"
RUNS = f"{BUILD}/runs"
TRAINED = [f"{EXECUTED}/train/{fusion}.ipynb" for fusion in TRAIN["fusions"] or []]
# A run's record is no output to Snakemake, which would delete finished runs before it starts the next. So a record that
# has gone (a broken one, deleted) takes the training page with it, and that page makes it anew.
for trained in map(Path, TRAINED):
    kept = [Path(RUNS, TRAIN["dataset"], trained.stem, f"seed-{seed}.json").is_file() for seed in TRAIN["seeds"] or []]
    if not all(kept):
        trained.unlink(missing_ok=True)
SOURCES = {page: f"{page}.md" for page in stage.pages(Path("_toc.yml"))}
NOTEBOOKS = [page for page, source in SOURCES.items() if stage.has_code(Path(source))]


def code(notebook):
    return [*imports.of_notebook(notebook), LOCK, "workflow/execute.py"]


def parameters(**values):
    return json.dumps(values, sort_keys=True)


wildcard_constraints:
    fusion="[a-z-]+",
    page="[a-z/-]+",


localrules:
    all, preview, book,


rule all:
    input:
        "_build/html/index.html",
        TRAINED,


rule preview:
    input:
        f"{BUILD}/preview/index.html",
        TRAINED,


rule data:
    input:
        DATA_CODE, LOCK,
    output:
        touch(f"{BUILD}/data/ready"),
    params:
        root=DATA_ROOT, frames=DATA["frames"], size=DATA["size"], seed=DATA["seed"], train=parameters(**TRAIN),
    shell:
        "python workflow/settings.py profiles/{NAME}.yml"
        " && mmfusion data pick-and-place --frames {params.frames} --size {params.size} --seed {params.seed} --out {params.root}"


rule data_page:
    input:
        source="notebooks/data/pick-and-place.md", code=code("notebooks/data/pick-and-place.md"), data=rules.data.output,
    output:
        f"{EXECUTED}/notebooks/data/pick-and-place.ipynb",
    params:
        values=parameters(profile=NAME, data_root=DATA_ROOT, **DATA),
    shell:
        "python workflow/execute.py {input.source} {output} --parameters {params.values:q}"


rule train:
    input:
        source="notebooks/lipschitz/train.md", code=code("notebooks/lipschitz/train.md"), data=rules.data.output,
    output:
        f"{EXECUTED}/train/{{fusion}}.ipynb",
    params:
        values=lambda wildcards: parameters(
            profile=NAME, fusion=wildcards.fusion, data_root=DATA_ROOT, records=RUNS,
            checkpoints=f"{RUNS}/checkpoints", **DATA_PARAMETERS, **TRAIN_PARAMETERS,
        ),
    resources:
        mem_mb=2000,
    shell:
        "python workflow/execute.py {input.source} {output} --parameters {params.values:q}"


TRAIN_PARAMETERS = {key: value for key, value in TRAIN.items() if key != "fusions"}
DATA_PARAMETERS = {"frames": DATA["frames"], "image_size": DATA["size"], "data_seed": DATA["seed"]}


rule train_page:
    input:
        f"{EXECUTED}/train/attention.ipynb",
    output:
        f"{EXECUTED}/notebooks/lipschitz/train.ipynb",
    shell:
        "cp {input} {output}"


rule theory:
    input:
        source="notebooks/{page}.md",
        code=lambda wildcards: code(f"notebooks/{wildcards.page}.md"),
        claims="claims.yml",
    output:
        notebook=f"{EXECUTED}/notebooks/{{page}}.ipynb", record=f"{CLAIMS}/{{page}}.json",
    wildcard_constraints:
        page="|".join(THEORY),
    params:
        values=parameters(profile=NAME, records=UNFINISHED, **PROFILE["theory"]),
        record=f"{UNFINISHED}/{{page}}.json",
    shell:
        "python workflow/execute.py {input.source} {output.notebook} --parameters {params.values:q}"
        " && mv {params.record} {output.record}"


rule results:
    input:
        source="notebooks/lipschitz/results-mujoco.md", code=code("notebooks/lipschitz/results-mujoco.md"),
        runs=TRAINED,
        claims="claims.yml",
    output:
        notebook=f"{EXECUTED}/notebooks/lipschitz/results-mujoco.ipynb",
        record=f"{CLAIMS}/lipschitz/results-mujoco.json",
    params:
        values=parameters(profile=NAME, records=UNFINISHED, runs=RUNS),
        record=f"{UNFINISHED}/lipschitz/results-mujoco.json",
    shell:
        "python workflow/execute.py {input.source} {output.notebook} --parameters {params.values:q}"
        " && mv {params.record} {output.record}"


rule overview:
    input:
        source="book/{page}.md",
        code=lambda wildcards: code(f"book/{wildcards.page}.md"),
        claims="claims.yml",
        records=[f"{CLAIMS}/{page}.json" for page in [*THEORY, "lipschitz/results-mujoco"]],
        runs=rules.results.input.runs,
    output:
        f"{EXECUTED}/book/{{page}}.ipynb",
    wildcard_constraints:
        page="index|ledger",
    params:
        values=lambda wildcards: parameters(
            profile=NAME, records=CLAIMS, **({"runs": RUNS, "dataset": TRAIN["dataset"]} if wildcards.page == "index" else {})
        ),
    shell:
        "python workflow/execute.py {input.source} {output} --parameters {params.values:q}"


def book_input(_):
    return [
        "_config.yml", "_toc.yml", "book/references.bib", LOCK, "workflow/stage.py",
        *sorted(str(path) for name in ("_static", "_ext") for path in Path("book", name).glob("*.*")),
        *(source for page, source in SOURCES.items() if page not in NOTEBOOKS),
        *(f"{EXECUTED}/{page}.ipynb" for page in NOTEBOOKS),
    ]


def published_input(_):
    if not PROFILE["publish"]:
        raise WorkflowError(f"profile {NAME} is for tests and is never published; look at it with: make preview")
    return book_input(_)


rule book:
    input:
        published_input,
    output:
        "_build/html/index.html",
    params:
        profile=NAME,
    shell:
        "python workflow/stage.py --executed {EXECUTED} --stage {BUILD}/stage --html _build/html"


rule built_preview:
    input:
        book_input,
    output:
        f"{BUILD}/preview/index.html",
    shell:
        "python workflow/stage.py --executed {EXECUTED} --stage {BUILD}/stage --html {BUILD}/preview"
