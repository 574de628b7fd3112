"""Run a table. Each row and seed is a run with a record of its own, so that a table can
be stopped and continued, and two processes can each run some of its rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cnnviz_utils.base.files import writable_folder
from cnnviz_utils.base.paths import CHECKOUT
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.data.sets import Splits
from cnnviz_utils.engines import Engine, make_engine
from cnnviz_utils.sweep.jobs import (
    Job,
    Runner,
    collect,
    first_line,
    read_record,
    write_record,
)
from cnnviz_utils.sweep.overrides import check, choose_rows, override
from cnnviz_utils.sweep.plan import Row, Sweep, check_seeds, read_sweep
from cnnviz_utils.sweep.report import write_summary
from cnnviz_utils.sweep.row import row_key
from cnnviz_utils.training.recipes import SOURCES, borrowed

# a text, and whether it is passing (an epoch's) or to stay (a run's)
Progress = Callable[[str, bool], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a sweep: its page, and the runs that were made, found finished, or
    failed."""

    page: Path
    made: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def plan_sweep(file, overrides=None, seeds=None, device: str = "cpu") -> Sweep:
    """The table as it will be run on this kind of device. Raises UsageError."""
    sweep = override(read_sweep(file), overrides or {})
    if seeds:
        sweep = replace(sweep, seeds=check_seeds(list(seeds), "seeds"))
    # float16 needs a GPU: on a CPU use float32, and let the table say so
    if device == "cpu":
        sweep = replace(
            sweep,
            rows=tuple(
                replace(
                    row,
                    settings=row.settings | {"amp": "off"},
                    changed=row.changed | {"amp": ("float16", "off")},
                )
                if row.settings["amp"] == "float16"
                else row
                for row in sweep.rows
            ),
        )
    return check(sweep)


def read_data(sweep: Sweep) -> dict[int, Splits]:
    """The table's data, by image size: the table's own, and those of its rows.
    Raises UsageError if it is not there, or is less than a batch that has to be
    full."""
    found: dict[int, Splits] = {}
    try:
        for wanted in [sweep.data, *(row.data(sweep.data) for row in sweep.rows)]:
            if wanted["size"] not in found:
                found[wanted["size"]] = load_data(**wanted)
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None
    splits = found[sweep.data["size"]]
    for name in ("train", "valid", "test"):
        if not len(getattr(splits, name)):
            raise UsageError(f"the {name} set of {sweep.data['name']} has no images")
    for row in sweep.rows:
        if row.settings["drop_last"] and row.settings["batch_size"] > len(splits.train):
            raise UsageError(
                f"row {row.name!r}: a batch of {row.settings['batch_size']} "
                f"is more than the {len(splits.train)} images to learn from: "
                "set a smaller batch_size"
            )
    return found


def fetch_weights(rows: Sequence[Row], splits: Splits, progress: Progress) -> None:
    """Get each row's weights before anything runs; those of a source that was never
    trained here are trained now.

    Raises UsageError, naming the row, for weights that are not there or do not fit.
    """
    for name, weights in dict.fromkeys(
        (row.settings["model"], row.settings["weights"]) for row in rows
    ):
        if weights is None:
            continue
        progress(
            f"weights: {name} from {weights}"
            + (", trained here the first time" if weights in SOURCES else ""),
            weights not in SOURCES,
        )
        try:
            borrowed(name, len(splits.classes), weights, size=splits.size)
        except Exception as error:  # whatever is wrong with a file of weights
            row = next(
                r.name
                for r in rows
                if (r.settings["model"], r.settings["weights"]) == (name, weights)
            )
            raise UsageError(f"row {row!r}: {first_line(error)}") from None


def run_sweep(
    file: str | Path,
    out: Path | None = None,
    overrides: dict[str, object] | None = None,
    seeds: Sequence[int] | None = None,
    rows: Sequence[str] = (),
    device: str = "auto",
    progress: Progress = lambda text, passing: None,
    engine: Engine | None = None,
) -> Outcome:
    """Run what is not yet recorded of a table, and write its summary (index.html,
    summary.csv, summary.json) to `out`.

    file: a YAML file, or the name of one of the course's.
    overrides: other settings, see `overrides.override`.
    seeds: other seeds than the file's.
    rows: only these rows; the summary still has all of them.
    engine: where the runs are made (`make_engine`), by default in this process. Its
        machines find the data and the weights at the same places as this one.

    Raises UsageError before anything runs if something asked for does not exist or does
    not fit. If a run fails later, it is named in the outcome and the others still run.
    """
    engine = engine or make_engine(device=device)
    sweep = plan_sweep(file, overrides, seeds, engine.device)
    chosen = choose_rows(rows, sweep.rows)
    out = Path(out or (CHECKOUT or Path.cwd()) / "reports" / "sweeps" / sweep.name)
    data = read_data(sweep)
    splits = data[sweep.data["size"]]
    seen = {row.name: data[row.data(sweep.data)["size"]] for row in sweep.rows}
    keys = {row.name: row_key(row, seen[row.name]) for row in sweep.rows}
    stems = {
        row.name: out / "records" / f"{row.slug}-{keys[row.name]}" for row in sweep.rows
    }
    # a whole table first, then the next seed
    jobs = [
        Job(
            row=row,
            seed=seed,
            record=Path(f"{stems[row.name]}-seed{seed}.json"),
            data=row.data(sweep.data),
            key=keys[row.name],
        )
        for seed in sweep.seeds
        for row in (sweep.rows[i] for i in chosen)
    ]
    missing = [job for job in jobs if not read_record(job.record)]
    fetch_weights([job.row for job in missing], splits, progress)
    writable_folder(out / "records")
    outcome = Outcome(out / "index.html")
    try:
        _run_jobs(jobs, Runner(device, seen), engine, outcome, progress)
    finally:
        write_summary(
            sweep,
            out,
            {row.name: collect(stems[row.name]) for row in sweep.rows},
            splits,
        )
    return outcome


def _run_jobs(
    jobs: list[Job],
    runner: Runner,
    engine: Engine,
    outcome: Outcome,
    progress: Progress,
) -> None:
    """Make a table's missing runs on the engine, and note what became of each."""
    missing = []
    for number, job in enumerate(jobs, start=1):
        if read_record(job.record):
            outcome.found.append(str(job))
            progress(f"[{number}/{len(jobs)}] {job}: {_there(job)}", False)
        else:
            missing.append((number, job))
    say = lambda n, text: progress(
        f"[{missing[n][0]}/{len(jobs)}] {missing[n][1]}: {text}", True
    )
    for answer in engine.run(runner, [job for _, job in missing], say):
        number, job = missing[answer.number]
        record = answer.value
        if answer.problem:
            record = job.known | {"error": answer.problem}
        if record is None:
            outcome.found.append(str(job))
            line = _there(job)
        elif problem := write_record(job, record):
            outcome.failed.append(str(job))
            line = f"FAILED, {problem}"
        else:
            outcome.made.append(str(job))
            line = _result(job)
        progress(f"[{number}/{len(jobs)}] {job}: {line}", False)


def _there(job: Job) -> str:
    return f"already there, {_result(job)}"


def _result(job: Job) -> str:
    record = read_record(job.record)
    assert record is not None  # it has just been written, or read
    here, published = record["metrics"], job.row.published.get("test")
    beside = "" if published is None else f" (published {published:.4f})"
    return (
        f"validation {here['val']:.4f}, test {here['test']:.4f}{beside}, "
        f"{here['seconds']:.0f} s"
    )
