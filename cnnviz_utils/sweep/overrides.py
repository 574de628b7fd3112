"""Choose rows of a table, change their settings, and check before anything runs that
the settings go together."""

import math
from dataclasses import replace
from pathlib import Path

import torch

from cnnviz_utils.base.declared import Part
from cnnviz_utils.base.settings import UsageError, nearest, refuse_unknown
from cnnviz_utils.models.build import build_model
from cnnviz_utils.models.freezing import freeze
from cnnviz_utils.sweep.plan import (
    SETTINGS,
    Row,
    Sweep,
    data_kinds,
    training_config,
    value_of,
)
from cnnviz_utils.training.optimiser import parameter_groups
from cnnviz_utils.training.recipes import SOURCES


def choose_rows(words, rows: tuple[Row, ...]) -> list[int]:
    """Positions of rows by name, number (from 1), or a part of the name that several
    may have; all if no word is given.

    Raises UsageError with the nearest name.
    """
    if not words:
        return list(range(len(rows)))
    names, chosen = [row.name.lower() for row in rows], set()
    for word in [str(word).lower() for word in words]:
        hits = [i for i, name in enumerate(names) if name == word]
        if not hits and word.isdecimal():
            hits = [int(word) - 1] if 0 < int(word) <= len(rows) else []
        elif not hits:
            hits = [i for i, name in enumerate(names) if word and word in name]
        if not hits:
            raise UsageError(
                f"no row is called {word!r}" + nearest(word, [row.name for row in rows])
            )
        chosen.update(hits)
    return sorted(chosen)


def override(sweep: Sweep, overrides: dict[str, object]) -> Sweep:
    """The table with other settings: of the rows, of the data (`data` is its name), or
    `epochs_share`, which shortens epochs and step sizes alike. "ROW:setting" is for the
    rows of that name (see `choose_rows`) only.

    Without ROW, `weights` changes only the rows that borrow weights (rows from scratch
    stay from scratch), and `model` only the rows with the table's most frequent model.

    Raises UsageError with the nearest name, or with what the value should be.
    """
    data, rows, share = (
        dict(sweep.data),
        [dict(row.settings) for row in sweep.rows],
        1.0,
    )
    models = [row.settings["model"] for row in sweep.rows]
    meant = {
        "weights": [row.settings["weights"] is not None for row in sweep.rows],
        "model": [model == max(models, key=models.count) for model in models],
    }
    for key, value in overrides.items():
        word, _, name = key.rpartition(":")
        if name in SETTINGS:
            for i in choose_rows([word] if word else [], sweep.rows):
                if word or name not in meant or meant[name][i]:
                    rows[i][name] = value_of(value, SETTINGS, name, "set")
        elif word:
            refuse_unknown([name], SETTINGS, f"set, row {word!r}")
        elif name == "epochs_share":
            share = value_of(value, {name: Part}, name, "set")
        else:
            data = _override_data(data, name, value)
    rows = [_shorter(settings, share) for settings in rows]
    return replace(
        sweep,
        data=data,
        changed=_changed(sweep.data, data),
        rows=tuple(
            replace(row, settings=new, changed=_changed(row.settings, new))
            for row, new in zip(sweep.rows, rows, strict=True)
        ),
    )


def _override_data(data: dict, name: str, value) -> dict:
    if name == "seed":
        raise UsageError(
            "set: the training's seeds are not a setting but --seeds, "
            "and the split's seed stays the file's"
        )
    if name == "data":
        known = data_kinds(str(value))
        return {k: v for k, v in data.items() if k in known} | {"name": value}
    kinds = data_kinds(data["name"])
    if name not in kinds:
        refuse_unknown([name], [*SETTINGS, *kinds, "data", "epochs_share"], "set")
    return data | {name: value_of(value, kinds, name, "set")}


def _shorter(settings: dict, share: float) -> dict:
    """The settings with epochs and step sizes multiplied by `share` (at least 1), those
    of the `first` training as well."""
    scaled = {
        k: max(1, math.floor(settings[k] * share + 0.5))
        for k in ("epochs", "step_size")
        if k in settings
    }
    return (
        settings
        | scaled
        | (
            {"first": _shorter(settings["first"], share)}
            if settings.get("first")
            else {}
        )
    )


def _changed(old: dict, new: dict) -> dict:
    return {k: (old.get(k), new.get(k)) for k in old | new if old.get(k) != new.get(k)}


def check(sweep: Sweep) -> Sweep:
    """The same sweep, if every row's settings go together: values in range, a model
    that takes such images, parts that it has, weights that go by a known name or are a
    file. Models are built without memory, so that this takes no time.

    Raises UsageError that names the row.
    """
    known = ["imagenet", *SOURCES]
    for row in sweep.rows:
        first, weights = row.settings["first"], row.settings["weights"]
        try:
            for settings in ([row.settings | first] if first else []) + [row.settings]:
                _check_training(settings, row.data(sweep.data)["size"])
            if not (weights is None or weights in known or Path(weights).is_file()):
                raise UsageError(
                    f"no weights are called {weights!r} and no file is"
                    + nearest(weights, known)
                )
        except (ValueError, RuntimeError) as error:
            raise UsageError(
                f"row {row.name!r}: {str(error).splitlines()[0]}"
            ) from None
    return sweep


def _check_training(settings: dict, size: int) -> None:
    config = training_config(settings)
    with torch.device("meta"):
        model = build_model(settings["model"], 2, size=size)
        freeze(model, settings["freeze"])
    if not any(p.requires_grad for p in model.parameters()):
        raise UsageError("freeze leaves nothing that learns")
    parameter_groups(model, config)
