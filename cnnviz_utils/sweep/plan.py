"""A table of runs as a YAML file: its format, and reading it.

- title, about: what the table is, and where its published values are from
- data: settings of `load_data`
- base: settings that all rows share
- rows: each with a name, settings of its own, published values (last_loss, val, test)
  and a note
- seeds: of the training; the split has its own seed, in `data`

A row's settings are `model`, `weights`, `freeze` (parts that stay as they are), `first`
(settings of a training that comes before this one, for instance one in which only the
head learns) and every field of `TrainConfig` except its seed.
"""

import inspect
import re
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from cnnviz_utils.base.paths import course_root
from cnnviz_utils.base.settings import UsageError, convert, nearest
from cnnviz_utils.data.augment import Augment
from cnnviz_utils.data.drawn.menagerie import MenagerieConfig
from cnnviz_utils.data.loaders import NAMES
from cnnviz_utils.data.photos import collections as photos
from cnnviz_utils.training.config import TrainConfig

METRICS = ("last_loss", "val", "test")


def kind_of(annotation) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


TRAINING = {f.name: kind_of(f.type) for f in fields(TrainConfig) if f.name != "seed"}
# mappings in YAML, objects in TrainConfig
TRAINING |= {"augment": "dict | None", "lrs": "dict"}
SETTINGS = {
    "model": "str",
    "weights": "str | None",
    "freeze": "list",
    "first": "dict | None",
    **TRAINING,
}
DEFAULTS: dict[str, object] = {
    "weights": None,
    "freeze": [],
    "first": None,
    **{f.name: f.default for f in fields(TrainConfig) if f.name in TRAINING},
    "lrs": {},
}
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

    @property
    def slug(self) -> str:
        """The name in the form that file names have."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


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
    return TrainConfig(
        **own
        | {
            "lrs": tuple((own.get("lrs") or {}).items()),
            "seed": seed,
            "augment": Augment(**own["augment"]) if own.get("augment") else None,
        }
    )


def find_file(file: str | Path) -> Path:
    """A path, or the name of one of the course's own tables. Raises UsageError with the
    nearest name."""
    if Path(file).is_file():
        return Path(file)
    own = {
        path.stem: path for path in sorted((course_root() / "sweeps").glob("*.yaml"))
    }
    name = Path(file).name.removesuffix(".yaml")
    if name not in own:
        raise UsageError(f"no sweep is called {str(file)!r}" + nearest(name, own))
    return own[name]


def read_sweep(file: str | Path) -> Sweep:
    """Read a table. Raises UsageError in one sentence for what is not as it must be."""
    path = find_file(file)
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise UsageError(
            f"{path.name} is no YAML{f': see line {mark.line + 1}' if mark else ''}"
        ) from None
    for key in ("title", "data", "base", "rows"):
        if not isinstance(content, dict) or not content.get(key):
            raise UsageError(
                f"{path.name} has no {key!r}, it needs title, data, base and rows"
            )
    refuse_unknown(content, FILE_KEYS, path.name)
    data = {"name": "menagerie", "size": 64, "seed": 0} | content["data"]
    data = {
        k: value_of(v, data_kinds(data["name"]), k, path.name) for k, v in data.items()
    }
    rows = tuple(_read_row(row, content["base"], path.name) for row in content["rows"])
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
        and len(set(seeds)) == len(seeds)
        and all(type(s) is int and 0 <= s < 2**31 for s in seeds)
    ):
        raise UsageError(
            f"{where}: seeds are different whole numbers from 0 on, "
            f"as in [0, 1, 2], not {seeds!r}"
        )
    return tuple(seeds)


def refuse_unknown(given, known, where: str) -> None:
    for key in given:
        if key not in known:
            raise UsageError(f"{where}: there is no {key!r}" + nearest(key, known))


def value_of(value, kinds: dict[str, str], key: str, where: str):
    """A value, or its text, converted to the type that `kinds` names for the key."""
    refuse_unknown([key], kinds, where)
    if kinds[key] == "list" and isinstance(value, str) and not value.startswith("["):
        value = [part for part in value.split(",") if part and part != "none"]
    if kinds[key] == "str | None" and value in ("none", "None", "null"):
        value = None
    return convert(value, kinds[key], f"{where}: parameter {key!r}")


def _read_row(row: dict, base: dict, where: str) -> Row:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise UsageError(f"{where}: every row is a mapping with a name, not {row!r}")
    where = f"{where}, row {row['name']!r}"
    published = row.get("published") or {}
    refuse_unknown(published, METRICS, where)
    if wrong := [
        v for v in published.values() if v is not None and type(v) not in (int, float)
    ]:
        raise UsageError(
            f"{where}: a published value is a number or null, not {wrong[0]!r}"
        )
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


def data_kinds(name: str) -> dict[str, str]:
    """The settings of a data set and their types, {"size": "int", ...}. Raises
    UsageError with the nearest name for an unknown data set."""
    if name not in NAMES:
        raise UsageError(f"no data set is called {name!r}" + nearest(name, NAMES))
    reader = MenagerieConfig if name.startswith("menagerie") else getattr(photos, name)
    found = {
        p.name: kind_of(p.annotation)
        for p in inspect.signature(reader).parameters.values()
        if p.name != "name"
    }
    return found | {"name": "str", "root": "str | None"}
