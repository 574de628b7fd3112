"""Run a table: each row and seed is a run with a record of its own, so that a table can be stopped and taken up again."""

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.evaluation import pick_device
from cnnviz_utils.lessons import UsageError, nearest
from cnnviz_utils.paths import CHECKOUT
from cnnviz_utils.provenance import provenance
from cnnviz_utils.records import plain
from cnnviz_utils.sweep.overrides import check, choose_rows, override
from cnnviz_utils.sweep.plan import Row, Sweep, check_seeds, read_sweep
from cnnviz_utils.sweep.report import write_summary
from cnnviz_utils.sweep.row import cached_splits, row_key, train_row

Progress = Callable[[str, bool], None]  # a text, and whether it is passing (an epoch's) or to stay (a run's)
LOST = "its process ended without a word: not enough memory?"


@dataclass(frozen=True)
class Job:
    """A run to be made: which row, which seed, where its record goes, and the place it has among all."""

    row: Row
    seed: int
    record: Path
    number: str

    @property
    def failure(self) -> Path:
        return self.record.with_suffix(".failed.json")

    def __str__(self) -> str:
        return f"[{self.number}] {self.row.name}, seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What became of a sweep: its page, and the runs that were made, found finished, or failed (with a sentence)."""

    page: Path
    made: list[str]
    found: list[str]
    failed: list[str]


def write_whole(path: Path, content: dict) -> None:
    """JSON that is either all there or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(plain(content), indent=1), encoding="utf-8")
    os.replace(temporary, path)


def read_record(path: Path) -> dict | None:
    """A finished record, None if there is none or it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) and {"metrics", "error"} & set(content) else None
    except (OSError, ValueError):
        return None


def run_job(job: Job, data: dict, device: str, train, load, progress: Progress = lambda text, passing: None) -> str:
    """Make one run and write its record; "" or, if it failed, why (kept beside it as .failed.json)."""
    started, total = time.time(), job.row.settings["epochs"]

    def epoch(row: dict) -> None:
        progress(f"{job}: epoch {row['epoch']} of {total}, loss {row['train_loss']:.3f}, validation "
                 f"{row['valid_accuracy']:.4f}, {time.time() - started:.0f} s", True)

    try:
        splits = cached_splits(json.dumps(data), load)
        found = train(job.row.settings, splits, job.seed, device, epoch)
        facts = provenance() | {"device": str(pick_device(device)), "data": splits.fingerprint,
                                "started": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(started))}
        write_whole(job.record, about(job, data) | found | {"provenance": facts})
    except Exception as error:  # whatever it is, the other rows still run
        name = "" if isinstance(error, ValueError | OSError | ArithmeticError) else f"{type(error).__name__}: "
        return failed(job, data, name + (str(error).strip().splitlines() or [type(error).__name__])[0])
    job.failure.unlink(missing_ok=True)
    return ""


def about(job: Job, data: dict) -> dict:
    """The part of a record that is known before the run."""
    return {"row": job.row.name, "seed": job.seed, "parameters": {"data": data, **job.row.settings},
            "changed": job.row.changed, "published": job.row.published}


def failed(job: Job, data: dict, why: str) -> str:
    """Keep the sentence, and return it."""
    write_whole(job.failure, about(job, data) | {"error": why})
    return why


def check_device(device: str) -> None:
    """Raises UsageError for a device that there is not."""
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
        raise UsageError(f"no device is called {device!r}" + nearest(device, ("auto", "cpu", "cuda")))
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise UsageError(f"there is no GPU {index or 0} here: use --device cpu, or auto")


def plan_sweep(file, overrides=None, seeds=None, device: str = "auto") -> Sweep:
    """The table as it will be run on this machine. Raises UsageError."""
    check_device(device)
    sweep = override(read_sweep(file), overrides or {})
    if seeds:
        sweep = replace(sweep, seeds=check_seeds(list(seeds), "seeds"))
    if pick_device(device).type == "cpu":  # float16 is for GPUs: run in float32, and let the table say so
        sweep = replace(sweep, rows=tuple(
            replace(row, settings=row.settings | {"amp": "off"}, changed=row.changed | {"amp": ("float16", "off")})
            if row.settings["amp"] == "float16" else row for row in sweep.rows))
    return check(sweep)


def run_sweep(file: str | Path, out: Path | None = None, overrides: dict[str, object] | None = None,
              seeds: Sequence[int] | None = None, rows: Sequence[str] = (), device: str = "auto",
              progress: Progress = lambda text, passing: None, workers: int = 1, train=train_row,
              load=load_data) -> Outcome:
    """Run what is not yet recorded of a table, and write its summary (index.html, summary.csv, summary.json) to `out`.

    Args:
        file: a YAML file, or the name of one of the course's.
        overrides: other settings, see `overrides.override`.
        seeds, rows: other seeds than the file's; only some rows (the summary still has them all).
        workers: processes that train side by side, each with its share of the cores.
        train: what makes a run of a row's settings, see `train_row`; `load`: what reads the data.

    Raises UsageError, before anything runs, for whatever does not exist or does not fit. A run that fails later is
    named in the outcome and costs the others nothing.
    """
    sweep = plan_sweep(file, overrides, seeds, device)
    chosen = choose_rows(rows, sweep.rows)
    out = Path(out or (CHECKOUT or Path.cwd()) / "reports" / "sweeps" / sweep.name)
    splits = cached_splits(json.dumps(sweep.data), load)
    for row in sweep.rows:
        if row.settings["drop_last"] and row.settings["batch_size"] > len(splits.train):
            raise UsageError(f"row {row.name!r}: a batch of {row.settings['batch_size']} is more than the "
                             f"{len(splits.train)} images to learn from: set a smaller batch_size")
    stems = {row.name: out / "records" / f"{row.slug}-{row_key(row, splits)}" for row in sweep.rows}
    pairs = [(sweep.rows[i], seed) for seed in sweep.seeds for i in chosen]  # a whole table first, then the next seed
    jobs = [Job(row, seed, stems[row.name].with_name(f"{stems[row.name].name}-seed{seed}.json"), f"{n}/{len(pairs)}")
            for n, (row, seed) in enumerate(pairs, start=1)]
    outcome = Outcome(out / "index.html", [], [], [])
    try:
        for job, problem in _run_all(jobs, sweep, device, train, load, progress, workers, outcome):
            (outcome.failed if problem else outcome.made).append(f"{job.row.name}, seed {job.seed}")
            progress(f"{job}: FAILED, {problem}" if problem else f"{job}: {_result(job)}", False)
    finally:
        write_summary(sweep, out, {row.name: collect(stems[row.name]) for row in sweep.rows}, splits)
    return outcome


def _run_all(jobs: list[Job], sweep: Sweep, device, train, load, progress: Progress, workers: int, outcome: Outcome):
    """Pairs of a job that was run and what went wrong with it; those with a record are left out."""
    todo = []
    for job in jobs:
        if read_record(job.record):
            outcome.found.append(f"{job.row.name}, seed {job.seed}")
            progress(f"{job}: already there, {_result(job)}", False)
        else:
            todo.append(job)
    if workers <= 1:
        for job in todo:
            progress(f"{job}: starts", True)
            yield job, run_job(job, sweep.data, device, train, load, progress)
        return
    work = partial(run_job, data=sweep.data, device=device, train=train, load=load)
    lost = []
    for job, problem in _side_by_side(todo, workers, work):
        if problem is None:
            lost.append(job)
        else:
            yield job, problem
    for job in lost:  # a process that dies takes the others along; one by one, only the guilty one fails
        [(_, problem)] = _side_by_side([job], 1, work)
        yield job, failed(job, sweep.data, LOST) if problem is None else problem


def _side_by_side(jobs: list[Job], workers: int, work):
    """Pairs of a job and what `run_job` said of it, in the order they end; None where a process died."""
    threads = (max(1, torch.get_num_threads() // workers),)
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, threads) as pool:
        running = {pool.submit(work, job): job for job in jobs}
        try:
            for future in as_completed(running):
                died = isinstance(future.exception(), BrokenProcessPool)
                yield running[future], None if died else future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _result(job: Job) -> str:
    here, published = read_record(job.record)["metrics"], job.row.published.get("test")
    beside = "" if published is None else f" (published {published:.4f})"
    return f"validation {here['val']:.4f}, test {here['test']:.4f}{beside}, {here['seconds']:.0f} s"


def collect(stem: Path) -> dict[str, list[dict]]:
    """All records of a row with these settings, whichever the seed: {"runs": finished ones, "failed": failed ones}."""
    found = {"runs": [], "failed": []}
    for path in sorted(stem.parent.glob(f"{stem.name}-seed*.json")):
        if record := read_record(path):
            kind = "failed" if path.name.endswith(".failed.json") else "runs"
            found[kind].append(record | {"file": f"records/{path.name}"})
    return {kind: sorted(records, key=lambda r: r["seed"]) for kind, records in found.items()}
