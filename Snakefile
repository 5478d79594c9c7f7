"""The whole book, from data to page.

    snakemake --cores all                      the book, profile quick, into _build/html
    snakemake --cores all --config profile=smoke preview
    snakemake --profile workflow/slurm         the same graph on a SLURM cluster

data -> train (experiments.yml) -> results; theory and printed numbers beside it; then landing page, ledger, book.
"""

import json
import os
import shlex
import shutil
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

EXPERIMENTS = PROFILE["experiments"]
# Pages that judge runs, and the experiments whose runs they read.
RESULTS = {
    "lipschitz/results-mujoco": ["mujoco"],
    "lipschitz/results-welding-single": ["welding-single"],
    "lipschitz/results-welding-dual": ["welding-dual"],
    "lipschitz/results-robomnist": ["robomnist-bimodal", "robomnist-trimodal"],
    "lipschitz/failure-detection": ["mujoco"],
    "lipschitz/regularisation": ["regularisation"],
    "lipschitz/fairness": ["fairness"],
}
TRAINING = "lipschitz/train"
SHOWN = ("mujoco", "attention")  # the run that the training page shows
DATA_CODE = imports.closure("import mmfusion.data")
# Data lie in a folder named by the code that makes them: another version never reuses them. A run's record carries
# the digests of its data, settings and code, so that a finished run is kept exactly as long as it is still right.
DATA_ROOT = f"{BUILD}/data/{imports.digest(DATA_CODE)}"
RUNS = f"{BUILD}/runs"


def jobs(experiments, variants=None):
    """Executed training pages of some experiments; each is named after the first variant that it trains."""
    return [
        f"{EXECUTED}/train/{name}/{job[0]}.ipynb"
        for name in experiments
        for job in EXPERIMENTS[name]["jobs"]
        if variants is None or set(job) & set(variants)
    ]


TRAINED = jobs(EXPERIMENTS)
# A run's record is no output to Snakemake, which would delete finished runs before it starts the next. So a record that
# has gone (a broken one, deleted) takes the training page with it, and that page makes it anew.
for name, experiment in EXPERIMENTS.items():
    for job in experiment["jobs"]:
        kept = [
            Path(RUNS, name, variant, f"seed-{seed}.{kind}").is_file()
            for variant in job for seed in experiment["train"]["seeds"] or [] for kind in ("json", "pt")
        ]  # fmt: skip
        if not all(kept):
            Path(EXECUTED, "train", name, f"{job[0]}.ipynb").unlink(missing_ok=True)
SOURCES = {page: f"{page}.md" for page in stage.pages(Path("_toc.yml"))}
NOTEBOOKS = [page for page, source in SOURCES.items() if stage.has_code(Path(source))]
# Pages that gather what the others found, and pages that give evidence without any run.
OVERVIEW = [page.removeprefix("book/") for page in NOTEBOOKS if page.startswith("book/")]
THEORY = [
    page.removeprefix("notebooks/") for page in NOTEBOOKS
    if not page.startswith(("book/", "notebooks/data/")) and page.removeprefix("notebooks/") not in [*RESULTS, TRAINING]
]  # fmt: skip


def code(notebook):
    files = imports.of_notebook(notebook)
    tables = sorted(map(str, Path("printed").glob("*.yml"))) if "mmfusion/printed.py" in files else []
    return [*files, *tables, LOCK, "workflow/execute.py"]


def parameters(**values):
    return json.dumps(values, sort_keys=True)


def accepted(notebook, **values):
    """Those of the values that are parameters of the page."""
    return parameters(**{key: value for key, value in values.items() if key in settings.parameters(Path(notebook))})


def of_data(dataset):
    """Parameters that name a data set to a page."""
    sizes = PROFILE["data"][dataset]
    return {
        "dataset": dataset, "data_root": sizes.get("root", DATA_ROOT), "frames": sizes["frames"],
        "image_size": sizes["size"], "data_seed": sizes["seed"],
    }  # fmt: skip


def where_data_lie(dataset):
    """Option of `mmfusion data`: the user's folder of a published data set, or ours for a generated one."""
    root = PROFILE["data"][dataset].get("root")
    return f"--root {shlex.quote(str(root))}" if root else f"--out {DATA_ROOT}"


def of_training(name):
    """Parameters that every variant of an experiment shares."""
    experiment = EXPERIMENTS[name]
    return {
        **of_data(experiment["dataset"]), **experiment["train"], "modalities": experiment["modalities"],
        "experiment": name, "records": RUNS, "checkpoints": f"{RUNS}/checkpoints", "profile": NAME,
    }  # fmt: skip


def job_of(wildcards):
    return next(job for job in EXPERIMENTS[wildcards.experiment]["jobs"] if job[0] == wildcards.job)


def followed(wildcards):
    """Pages whose runs the controls of this one follow."""
    variants = EXPERIMENTS[wildcards.experiment]["variants"]
    names = {variants[variant]["matched_to"] for variant in job_of(wildcards) if variants[variant].get("matched_to")}
    return jobs([wildcards.experiment], names) if names else []


wildcard_constraints:
    experiment="[a-z0-9-]+",
    job="[a-z0-9-]+",
    dataset="[a-z0-9-]+",
    page="[a-z/-]+",


localrules:
    all, preview, book, nbval,


rule all:
    input:
        "_build/html/index.html",
        TRAINED,


rule preview:
    input:
        f"{BUILD}/preview/index.html",
        TRAINED,


rule nbval:
    input:
        [f"{EXECUTED}/notebooks/{page}.ipynb" for page in THEORY],
    output:
        directory(f"{BUILD}/nbval"),
    run:
        for page in THEORY:
            copy = Path(output[0], f"{page}.ipynb")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(f"{EXECUTED}/notebooks/{page}.ipynb", copy)


rule settings:
    input:
        f"profiles/{NAME}.yml", "experiments.yml", "workflow/settings.py", LOCK, DATA_CODE,
    output:
        touch(f"{BUILD}/settings.ok"),
    params:
        given=json.dumps(PROFILE, sort_keys=True),
    shell:
        "python workflow/settings.py profiles/{NAME}.yml"


rule data:
    priority: 1
    input:
        rules.settings.output, DATA_CODE, LOCK,
    output:
        touch(f"{BUILD}/data/{{dataset}}.ready"),
    params:
        given=lambda wildcards: PROFILE["data"][wildcards.dataset],
        where=lambda wildcards: where_data_lie(wildcards.dataset),
    shell:
        "mmfusion data {wildcards.dataset} --frames {params.given[frames]} --size {params.given[size]}"
        " --seed {params.given[seed]} {params.where}"


rule data_page:
    input:
        source="notebooks/data/pick-and-place.md", code=code("notebooks/data/pick-and-place.md"),
        data=f"{BUILD}/data/pick-and-place.ready",
    output:
        f"{EXECUTED}/notebooks/data/pick-and-place.ipynb",
    params:
        values=parameters(profile=NAME, data_root=DATA_ROOT, **PROFILE["data"]["pick-and-place"]),
    shell:
        "python workflow/execute.py {input.source} {output} --parameters {params.values:q}"


rule gallery:
    input:
        source="notebooks/data/gallery.md", code=code("notebooks/data/gallery.md"),
    output:
        f"{EXECUTED}/notebooks/data/gallery.ipynb",
    params:
        values=parameters(profile=NAME, data_root=f"{DATA_ROOT}/gallery", **PROFILE["gallery"]),
    shell:
        "python workflow/execute.py {input.source} {output} --parameters {params.values:q}"


# The longest jobs first: the short pages then fill the gaps at the end.
rule train:
    priority: 1
    input:
        source="notebooks/lipschitz/train.md", code=code("notebooks/lipschitz/train.md"), followed=followed,
        data=lambda wildcards: f"{BUILD}/data/{EXPERIMENTS[wildcards.experiment]['dataset']}.ready",
    output:
        f"{EXECUTED}/train/{{experiment}}/{{job}}.ipynb",
    params:
        values=lambda wildcards: parameters(
            variants={name: EXPERIMENTS[wildcards.experiment]["variants"][name] for name in job_of(wildcards)},
            **of_training(wildcards.experiment),
        ),
    threads: max(1, workflow.cores // PROFILE["trials_at_once"]) if PROFILE["trials_at_once"] else 1
    resources:
        mem_mb=2000,
    shell:
        "python workflow/execute.py {input.source} {output} --parameters {params.values:q}"


rule train_page:
    input:
        jobs([SHOWN[0]], [SHOWN[1]]), source="notebooks/lipschitz/train.md", code=code("notebooks/lipschitz/train.md"),
    output:
        f"{EXECUTED}/notebooks/lipschitz/train.ipynb",
    params:
        values=parameters(fusion=SHOWN[1], **of_training(SHOWN[0])),
    shell:
        "python workflow/execute.py {input.source} {output} --parameters {params.values:q}"


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
        source="notebooks/{page}.md",
        code=lambda wildcards: code(f"notebooks/{wildcards.page}.md"),
        runs=lambda wildcards: jobs(RESULTS[wildcards.page]),
        paper=lambda wildcards: sorted(
            str(path) for name in RESULTS[wildcards.page] for path in Path("results/paper", name).rglob("*.json")
        ),
        claims="claims.yml",
    output:
        notebook=f"{EXECUTED}/notebooks/{{page}}.ipynb", record=f"{CLAIMS}/{{page}}.json",
    wildcard_constraints:
        page="|".join(RESULTS),
    params:
        values=lambda wildcards: accepted(
            f"notebooks/{wildcards.page}.md", profile=NAME, records=UNFINISHED, runs=RUNS,
            **of_data(EXPERIMENTS[RESULTS[wildcards.page][0]]["dataset"]),
        ),
        record=f"{UNFINISHED}/{{page}}.json",
    shell:
        "python workflow/execute.py {input.source} {output.notebook} --parameters {params.values:q}"
        " && mv {params.record} {output.record}"


rule overview:
    input:
        source="book/{page}.md",
        code=lambda wildcards: code(f"book/{wildcards.page}.md"),
        claims=["claims.yml", "exhibits.yml", "_toc.yml", "CITATION.cff"],
        records=[f"{CLAIMS}/{page}.json" for page in [*THEORY, *RESULTS]],
        runs=jobs([SHOWN[0]]),
    output:
        f"{EXECUTED}/book/{{page}}.ipynb",
    wildcard_constraints:
        page="|".join(OVERVIEW),
    params:
        values=lambda wildcards: accepted(
            f"book/{wildcards.page}.md", profile=NAME, records=CLAIMS, runs=RUNS, experiment=SHOWN[0]
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
