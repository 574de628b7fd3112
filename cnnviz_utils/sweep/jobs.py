"""One run of a table: what it computes, wherever that is, and its record, which the
process that was asked for the table writes."""

import json
import socket
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cnnviz_utils.base.device import pick_device
from cnnviz_utils.base.files import StorageError, write_whole
from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.course.provenance import provenance
from cnnviz_utils.course.records import plain
from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.data.sets import Splits
from cnnviz_utils.sweep.plan import Row
from cnnviz_utils.sweep.row import row_key, train_row

# what a finished run's record must say; one that does not is made again
NEEDED = ("last_loss", "val", "test", "best_epoch", "seconds")


@dataclass(frozen=True)
class Job:
    """A run to be made: which row, which seed, where its record goes, which data it
    sees (settings of `load_data`), and its row's key."""

    row: Row
    seed: int
    record: Path
    data: dict
    key: str

    @property
    def failure(self) -> Path:
        return self.record.with_suffix(".failed.json")

    @property
    def known(self) -> dict:
        """What is known of it before it runs."""
        return {
            "row": self.row.name,
            "seed": self.seed,
            "parameters": {"data": self.data, **self.row.settings},
            "changed": self.row.changed,
            "published": self.row.published,
        }

    def __str__(self) -> str:
        return f"{self.row.name}, seed {self.seed}"


@dataclass
class Runner:
    """Makes runs: here on data that is read already, elsewhere on what lies there, if
    that is the same."""

    device: str
    splits: dict[str, Splits] = field(default_factory=dict)  # by row

    def __reduce__(self) -> tuple:
        return Runner, (self.device,)  # gigabytes of photos stay where they are

    def __call__(self, job: Job, say: Callable[[str], None]) -> dict | None:
        """The run's record, one with an "error" if it failed; None if somebody else
        has written it in the meantime."""
        if read_record(job.record):
            return None
        started = time.time()

        def epoch(row: dict) -> None:
            say(
                f"epoch {row['epoch']} of {row['of']}, loss {row['train_loss']:.3f}, "
                f"validation {row['valid_accuracy']:.4f}, "
                f"{time.time() - started:.0f} s"
            )

        say("starts")
        try:
            splits = self.splits.get(job.row.name) or _same_data(job)
            found = train_row(job.row.settings, splits, job.seed, self.device, epoch)
        except StorageError:  # nor could anything be said about it
            raise
        except Exception as error:  # whatever it is, the other rows still run
            return plain(job.known | {"error": first_line(error)})
        facts = provenance() | {
            "device": str(pick_device(self.device)),
            "data": splits.fingerprint,
            "started": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(started)),
        }
        return plain(job.known | found | {"provenance": facts})


@lru_cache(maxsize=4)
def _read(settings: str) -> Splits:
    return load_data(**json.loads(settings))


def _same_data(job: Job) -> Splits:
    """A run's data as it lies on this machine. Raises UsageError if the run would be
    another one here than where it was planned."""
    splits = _read(json.dumps(job.data))
    if row_key(job.row, splits) != job.key:
        raise UsageError(
            f"the machine {socket.gethostname()} has other images, weights, code, or "
            "another torch than the one that plans the sweep: its runs would not "
            "belong into this table"
        )
    return splits


def write_record(job: Job, record: dict) -> str:
    """Keep a run's record; "" or, if it failed, why (kept beside it as
    .failed.json)."""
    failed = record.get("error", "")
    kept = record | {"checksum": _checksum(record)}
    write_whole(job.failure if failed else job.record, json.dumps(kept, indent=1))
    if not failed:
        job.failure.unlink(missing_ok=True)
    return failed


def first_line(error: Exception) -> str:
    """The first line of an error's message, after the name of its class unless the
    message was written for the user."""
    kind = (
        ""
        if isinstance(error, ValueError | OSError | ArithmeticError)
        else f"{type(error).__name__}: "
    )
    return kind + (str(error).strip().splitlines() or [type(error).__name__])[0]


def _checksum(record: dict) -> int:
    """CRC-32 of what a record says, in whatever order and layout."""
    said = {name: value for name, value in record.items() if name != "checksum"}
    return zlib.crc32(json.dumps(said, sort_keys=True).encode())


def read_record(path: Path) -> dict | None:
    """A record, None if there is none, it cannot be read, or it no longer says what was
    written: such a run is made again."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = (
        isinstance(content, dict)
        # a record of an older version has no checksum
        and ("checksum" not in content or content["checksum"] == _checksum(content))
        and {"row", "seed"} <= set(content)
        and ("error" in content or {"history", "provenance"} <= set(content))
        and set(NEEDED) <= set(content.get("metrics", NEEDED))
    )
    return content if whole else None


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
