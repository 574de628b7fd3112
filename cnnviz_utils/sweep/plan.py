"""A table of runs as a YAML file: its format, and reading it.

- title, about: what the table is, and where its published values are from
- data: settings of `load_data`
- base: settings that all rows share
- rows: each with a name, settings of its own, published values (last_loss, val, test)
  and a note
- seeds: of the training; the split has its own seed, in `data`

A row's settings are `model`, `weights`, `freeze` (parts that stay as they are), `first`
(settings of a training that comes before this one, for instance one in which only the
head learns), `image_size` (another than the table's) and every field of `TrainConfig`
except its seed.
"""

import hashlib
import inspect
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnnviz_utils.base.checked import defaults_of, kinds_of
from cnnviz_utils.base.declared import DATA_SETS
from cnnviz_utils.base.paths import as_path, course_root
from cnnviz_utils.base.settings import (
    UsageError,
    check_name,
    convert,
    cut,
    fitting,
    nearest,
    read_mapping,
    refuse_unknown,
)
from cnnviz_utils.data.drawn.menagerie import MenagerieConfig
from cnnviz_utils.data.loaders import PHOTO_SETTINGS
from cnnviz_utils.data.photos import collections as photos
from cnnviz_utils.training.config import TrainConfig

METRICS = ("last_loss", "val", "test")


# a setting's type and range, as `TrainConfig` declares it
TRAINING = {k: v for k, v in kinds_of(TrainConfig).items() if k != "seed"}
SETTINGS: dict[str, Any] = {
    "model": str,
    "weights": str | None,
    "freeze": list[str],
    "first": dict | None,
    "image_size": int | None,
    **TRAINING,
}
DEFAULTS: dict[str, object] = {
    "weights": None,
    "freeze": [],
    "first": None,
    "image_size": None,
    **{k: v for k, v in defaults_of(TrainConfig).items() if k in TRAINING},
    "lrs": {},
}
LONGEST_NAME = 120
FILE_KEYS, ROW_KEYS = (
    ("title", "about", "data", "base", "rows", "seeds"),
    ("name", "note", "published"),
)


@dataclass(frozen=True)
class Row:
    """One line of the table. `changed`: setting -> (in the file, here), for what was
    overridden."""

    name: str
    settings: dict
    published: dict = field(default_factory=dict)
    note: str = ""
    changed: dict = field(default_factory=dict)

    def data(self, shared: dict) -> dict:
        """The table's data at this row's size."""
        own = self.settings["image_size"]
        return shared if own is None else shared | {"size": own}

    @property
    def slug(self) -> str:
        """The name as a file may have it; a hash of one without Latin letters or
        digits."""
        plain = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        return plain or hashlib.sha256(self.name.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Sweep:
    """A whole table, as it will be run. `changed`: setting of the data -> (in the file,
    here)."""

    name: str
    title: str
    about: str
    data: dict
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    changed: dict = field(default_factory=dict)


def training_config(settings: dict, seed: int = 0) -> TrainConfig:
    """The part of a row's settings that says how to train."""
    own = {k: v for k, v in settings.items() if k in TRAINING}
    return TrainConfig(**own, seed=seed)


def find_file(file: str | Path) -> Path:
    """A path, or the name of one of the course's own tables. Raises UsageError with the
    nearest name."""
    path = as_path(file, "sweep")
    if path.is_file():
        return path
    own = {
        path.stem: path for path in sorted((course_root() / "sweeps").glob("*.yaml"))
    }
    name = path.name.removesuffix(".yaml")
    if name not in own:
        raise UsageError(f"no sweep is called {cut(str(file))}" + nearest(name, own))
    return own[name]


def read_sweep(file: str | Path) -> Sweep:
    """Read a table. Raises UsageError in one sentence for what is not as it must be."""
    path = find_file(file)
    content, where = read_mapping(path), path.name
    for key in ("title", "data", "base", "rows"):
        if not content.get(key):
            raise UsageError(
                f"{where} has no {key!r}, it needs title, data, base and rows"
            )
    refuse_unknown(content, FILE_KEYS, where)
    own = convert(content["data"], "dict", f"{where}: data")
    base = convert(content["base"], "dict", f"{where}: base")
    listed = convert(content["rows"], "list", f"{where}: rows")
    data = {"name": "menagerie", "size": 64, "seed": 0} | own
    kinds = data_kinds(data["name"])
    data = {k: value_of(v, kinds, k, where) for k, v in data.items()}
    rows = tuple(_read_row(row, base, where) for row in listed)
    for i, row in enumerate(rows):
        if row.slug in [other.slug for other in rows[:i]]:
            raise UsageError(f"{path.name} has two rows called {row.name!r}")
    return Sweep(
        path.stem,
        str(content["title"]),
        str(content.get("about", "")),
        data,
        rows,
        check_seeds(content.get("seeds", [0]), path.name),
    )


def check_seeds(seeds, where: str) -> tuple[int, ...]:
    """Different whole numbers from 0 on, at least one."""
    if not (
        isinstance(seeds, list | tuple)
        and seeds
        and all(type(s) is int and 0 <= s < 2**31 for s in seeds)
        and len(set(seeds)) == len(seeds)
    ):
        raise UsageError(
            f"{where}: seeds are different whole numbers from 0 on, "
            f"as in [0, 1, 2], not {seeds!r}"
        )
    return tuple(seeds)


def value_of(value, kinds: dict[str, Any], key: str, where: str):
    """A value, or its text, as the kind that belongs to the key. Settings within
    settings stay a mapping, as the file has them."""
    refuse_unknown([key], kinds, where)
    if key == "freeze" and isinstance(value, str) and not value.startswith("["):
        value = [part for part in value.split(",") if part and part != "none"]
    if value in ("none", "None", "null"):
        value = None
    what = f"{where}: parameter {key!r}"
    if key in ("augment", "lrs"):
        found = convert(value, "dict | None", what)
        convert(found, kinds[key], what)
        return found
    return convert(value, kinds[key], what)


def _read_row(row: dict, base: dict, where: str) -> Row:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise UsageError(f"{where}: every row is a mapping with a name, not {row!r}")
    if len(row["name"]) > LONGEST_NAME:
        raise UsageError(
            f"{where}: a row's name has at most {LONGEST_NAME} letters, not "
            f"{len(row['name'])}: {row['name'][:40]}..."
        )
    where = f"{where}, row {row['name']!r}"
    published = convert(row.get("published") or {}, "dict", f"{where}: published")
    refuse_unknown(published, METRICS, where)
    published = {
        # a text is no number here, even one that reads like it
        k: fitting(v, float | None, f"{where}: the published {k}")
        for k, v in published.items()
    }
    refuse_unknown(row, (*ROW_KEYS, *SETTINGS), where)
    settings = DEFAULTS | base | {k: v for k, v in row.items() if k not in ROW_KEYS}
    settings = {k: value_of(v, SETTINGS, k, where) for k, v in settings.items()}
    if settings["first"]:
        allowed = {"freeze": SETTINGS["freeze"], **TRAINING}
        settings["first"] = {
            k: value_of(v, allowed, k, f"{where}, first")
            for k, v in settings["first"].items()
        }
    if "model" not in settings:
        raise UsageError(f"{where}: neither the row nor the base says which model")
    return Row(row["name"], settings, dict(published), str(row.get("note", "")))


def data_kinds(name: str) -> dict[str, Any]:
    """What can be set about a data set: setting -> kind. Raises UsageError with the
    nearest name for an unknown one."""
    check_name("data set", name, DATA_SETS)
    text: dict[str, Any] = {"name": str, "root": str | None}
    if name.startswith("menagerie"):
        return kinds_of(MenagerieConfig) | text
    reader = inspect.signature(getattr(photos, name))
    return {k: v for k, v in PHOTO_SETTINGS.items() if k in reader.parameters} | text
