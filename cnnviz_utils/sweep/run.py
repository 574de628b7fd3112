"""Run a table. Each row and seed is a run with a record of its own, so that a table can
be stopped and continued, and two processes can each run some of its rows."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cnnviz_utils.base.device import pick_device
from cnnviz_utils.base.files import StorageError, writable_folder, write_whole
from cnnviz_utils.base.paths import CHECKOUT
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course.provenance import provenance
from cnnviz_utils.course.records import plain
from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.data.sets import Splits
from cnnviz_utils.sweep.overrides import check, choose_rows, override
from cnnviz_utils.sweep.plan import Row, Sweep, check_seeds, read_sweep
from cnnviz_utils.sweep.report import write_summary
from cnnviz_utils.sweep.row import row_key, train_row
from cnnviz_utils.training.recipes import SOURCES, borrowed

# what a finished run's record must say; one that does not is made again
NEEDED = ("last_loss", "val", "test", "best_epoch", "seconds")
# a text, and whether it is passing (an epoch's) or to stay (a run's)
Progress = Callable[[str, bool], None]


@dataclass(frozen=True)
class Job:
    """A run to be made: which row, which seed, where its record goes."""

    row: Row
    seed: int
    record: Path

    @property
    def failure(self) -> Path:
        return self.record.with_suffix(".failed.json")

    def __str__(self) -> str:
        return f"{self.row.name}, seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What became of a sweep: its page, and the runs that were made, found finished, or
    failed."""

    page: Path
    made: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def plan_sweep(file, overrides=None, seeds=None, device: str = "auto") -> Sweep:
    """The table as it will be run on this machine. Raises UsageError."""
    pick_device(device)
    sweep = override(read_sweep(file), overrides or {})
    if seeds:
        sweep = replace(sweep, seeds=check_seeds(list(seeds), "seeds"))
    # float16 needs a GPU: on a CPU use float32, and let the table say so
    if pick_device(device).type == "cpu":
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


def first_line(error: Exception) -> str:
    """The first line of an error's message, after the name of its class unless the
    message was written for the user."""
    kind = (
        ""
        if isinstance(error, ValueError | OSError | ArithmeticError)
        else f"{type(error).__name__}: "
    )
    return kind + (str(error).strip().splitlines() or [type(error).__name__])[0]


def read_record(path: Path) -> dict | None:
    """A record, None if there is none or it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return (
            content
            if isinstance(content, dict)
            and {"row", "seed"} <= set(content)
            and ("error" in content or {"history", "provenance"} <= set(content))
            and set(NEEDED) <= set(content.get("metrics", NEEDED))
            else None
        )
    except (OSError, ValueError):
        return None


def run_job(job: Job, sweep: Sweep, splits: Splits, device: str, say: Progress) -> str:
    """Make one run and write its record; "" or, if it failed, why (kept beside it as
    .failed.json)."""
    started = time.time()
    known = {
        "row": job.row.name,
        "seed": job.seed,
        "parameters": {"data": job.row.data(sweep.data), **job.row.settings},
        "changed": job.row.changed,
        "published": job.row.published,
    }

    def epoch(row: dict) -> None:
        say(
            f"epoch {row['epoch']} of {row['of']}, loss {row['train_loss']:.3f}, "
            f"validation {row['valid_accuracy']:.4f}, "
            f"{time.time() - started:.0f} s",
            True,
        )

    try:
        found = train_row(job.row.settings, splits, job.seed, device, epoch)
    except StorageError:  # nor could anything be said about it
        raise
    except Exception as error:  # whatever it is, the other rows still run
        write_whole(
            job.failure,
            json.dumps(plain(known | {"error": first_line(error)}), indent=1),
        )
        return first_line(error)
    facts = provenance() | {
        "device": str(pick_device(device)),
        "data": splits.fingerprint,
        "started": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(started)),
    }
    write_whole(
        job.record, json.dumps(plain(known | found | {"provenance": facts}), indent=1)
    )
    job.failure.unlink(missing_ok=True)
    return ""


def run_sweep(
    file: str | Path,
    out: Path | None = None,
    overrides: dict[str, object] | None = None,
    seeds: Sequence[int] | None = None,
    rows: Sequence[str] = (),
    device: str = "auto",
    progress: Progress = lambda text, passing: None,
) -> Outcome:
    """Run what is not yet recorded of a table, and write its summary (index.html,
    summary.csv, summary.json) to `out`.

    file: a YAML file, or the name of one of the course's.
    overrides: other settings, see `overrides.override`.
    seeds: other seeds than the file's.
    rows: only these rows; the summary still has all of them.

    Raises UsageError before anything runs if something asked for does not exist or does
    not fit. If a run fails later, it is named in the outcome and the others still run.
    """
    sweep = plan_sweep(file, overrides, seeds, device)
    chosen = choose_rows(rows, sweep.rows)
    out = Path(out or (CHECKOUT or Path.cwd()) / "reports" / "sweeps" / sweep.name)
    data = read_data(sweep)
    splits = data[sweep.data["size"]]
    seen = {row.name: data[row.data(sweep.data)["size"]] for row in sweep.rows}
    stems = {
        row.name: out / "records" / f"{row.slug}-{row_key(row, seen[row.name])}"
        for row in sweep.rows
    }
    jobs = [
        Job(sweep.rows[i], seed, Path(f"{stems[sweep.rows[i].name]}-seed{seed}.json"))
        # a whole table first, then the next seed
        for seed in sweep.seeds
        for i in chosen
    ]
    fetch_weights(
        [job.row for job in jobs if not read_record(job.record)], splits, progress
    )
    writable_folder(out / "records")
    outcome = Outcome(out / "index.html")
    try:
        for number, job in enumerate(jobs, start=1):
            head = f"[{number}/{len(jobs)}] {job}: "
            say = lambda text, passing, head=head: progress(head + text, passing)
            if read_record(job.record):
                outcome.found.append(str(job))
                say(f"already there, {_result(job)}", False)
                continue
            say("starts", True)
            problem = run_job(job, sweep, seen[job.row.name], device, say)
            (outcome.failed if problem else outcome.made).append(str(job))
            say(f"FAILED, {problem}" if problem else _result(job), False)
    finally:
        write_summary(
            sweep,
            out,
            {row.name: collect(stems[row.name]) for row in sweep.rows},
            splits,
        )
    return outcome


def _result(job: Job) -> str:
    record = read_record(job.record)
    assert record is not None  # it has just been written, or read
    here, published = record["metrics"], job.row.published.get("test")
    beside = "" if published is None else f" (published {published:.4f})"
    return (
        f"validation {here['val']:.4f}, test {here['test']:.4f}{beside}, "
        f"{here['seconds']:.0f} s"
    )


def collect(stem: Path) -> dict[str, list[dict]]:
    """All records of a row with these settings, whichever the seed: {"runs": finished
    ones, "failed": failed ones}."""
    found: dict[str, list[dict]] = {"runs": [], "failed": []}
    for path in sorted(stem.parent.glob(f"{stem.name}-seed*.json")):
        if record := read_record(path):
            kind = "failed" if path.name.endswith(".failed.json") else "runs"
            found[kind].append(record | {"file": f"records/{path.name}"})
    return {
        kind: sorted(records, key=lambda r: r["seed"])
        for kind, records in found.items()
    }
