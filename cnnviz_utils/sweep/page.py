"""The summary of a sweep as one HTML page without an outside reference: a chart, the
table, what differs, the runs. The page itself is course/templates/sweep.html.j2."""

import base64

from cnnviz_utils.course.pages import style, template

METRICS = {
    "last_loss": "training loss, last epoch",
    "val": "validation accuracy",
    "test": "test accuracy",
}
RUN_COLUMNS = (
    "seed",
    "last_loss",
    "val",
    "test",
    "test_top5",
    "best_epoch",
    "seconds",
    "device",
    "record",
)


def words(value: object) -> str:
    """Any value for a reader: lists and dicts without brackets and quotes."""
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, dict):
        return ", ".join(
            f"{key} {words(item)}"
            for key, item in value.items()
            if item not in (None, [], {})
        )
    if isinstance(value, list):
        return " and ".join(words(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def four(value: float, sign: bool = False) -> str:
    """Four decimals, as the sources print them, with a typographer's minus."""
    return f"{value:{'+' if sign else ''}.4f}".replace("-", "−")


def whole(value: object) -> object:
    """Seconds and the like without decimals; anything else as it is."""
    return f"{value:.0f}" if isinstance(value, float) else value


def in_words(settings: dict) -> str:
    """What tells a row apart from the others, in one line."""
    weights = settings["weights"]
    parts = [
        f"{settings['model']} "
        + (f"with weights of {weights}" if weights else "from scratch"),
        f"lr {settings['lr']:g}, {settings['epochs']} epochs",
        settings["schedule"],
    ]
    if settings["schedule"] == "step":
        parts[-1] = f"step {settings['step_size']}, gamma {settings['gamma']:g}"
    if settings["first"]:
        parts.append(f"first trained with {words(settings['first'])}")
    if settings["freeze"]:
        parts.append(f"frozen: {words(settings['freeze'])}")
    if settings["image_size"]:
        parts.append(f"{settings['image_size']} px")
    if settings["amp"] != "off":
        parts.append(f"AMP {settings['amp']}")
    return ", ".join(parts)


def any_published(summary: dict) -> bool:
    return any(
        value is not None
        for row in summary["rows"]
        for value in row["published"].values()
    )


def chart(summary: dict) -> dict | None:
    """Test accuracy of each row, published and here, as a PNG in base64 with its width
    in pixels and its alt text; None where no row has either."""
    rows = [
        row
        for row in summary["rows"]
        if row["published"]["test"] is not None
        or row["here"]["test"]["mean"] is not None
    ]
    if not rows:
        return None
    from cnnviz_utils.plot import plot_published

    picture = plot_published(
        [row["row"] for row in rows],
        [row["published"]["test"] for row in rows],
        [row["here"]["test"]["mean"] for row in rows],
        [row["here"]["test"]["spread"] for row in rows],
        label="Test accuracy",
    )
    return {
        "png": base64.b64encode(picture.png).decode(),
        "alt": picture.alt,
        "width": picture.array.shape[1] // 2,
    }


def differences(summary: dict) -> list[dict]:
    """What was run otherwise than the table says: name, value there and here, and the
    rows. `rows` is empty for the table as a whole; `all_but` names the exceptions where
    most rows differ, and is None otherwise."""
    found = [
        {"name": name, "there": there, "here": here, "rows": [], "all_but": None}
        for name, (there, here) in summary["changed"].items()
    ]
    places: dict[str, dict] = {}
    for row in summary["rows"]:
        for name, (there, here) in row["changed"].items():
            key = f"{name} {words(here)} {words(there)}"
            change = places.setdefault(
                key, {"name": name, "there": there, "here": here, "rows": []}
            )
            change["rows"].append(row["row"])
    for change in places.values():
        others = [
            row["row"] for row in summary["rows"] if row["row"] not in change["rows"]
        ]
        few = len(others) < len(change["rows"])
        found.append(change | {"all_but": others if few else None})
    return found


def page(summary: dict) -> str:
    """The whole page; everything that comes from the summary is escaped."""
    sweep = template("sweep.html.j2", words=words, four=four, whole=whole)
    return sweep.render(
        title=summary["title"],
        style=style(),
        about=[p.strip() for p in summary["about"].split("\n\n") if p.strip()],
        chart=chart(summary),
        published=any_published(summary),
        several=any(row["here"]["test"]["n"] > 1 for row in summary["rows"]),
        metrics=METRICS,
        rows=[row | {"in_words": in_words(row["settings"])} for row in summary["rows"]],
        order=summary["order"],
        differences=differences(summary),
        columns=RUN_COLUMNS,
        data=summary["data"],
        provenance=summary["provenance"],
    )
