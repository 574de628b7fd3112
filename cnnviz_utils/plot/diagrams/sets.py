"""Training, validation and test: what each set is for."""

from cnnviz_utils.base.settings import UsageError
from cnnviz_utils.plot.diagrams.canvas import WIDTH, Diagram, Sheet

# set, its colours, what it is used for
USES = (
    ("train", ("light blue", "blue"), ("learn", "the weights", "every epoch")),
    (
        "validation",
        ("light orange", "orange"),
        ("choose", "settings and epoch", "after every epoch"),
    ),
    ("test", ("light green", "green"), ("report", "one number", "once, at the end")),
)


def draw_splits(train: int, valid: int, test: int) -> Diagram:
    """The images of a data set cut into three, as wide as they are many, and what each
    part is used for.

    Raises: UsageError: a set without images.
    """
    counts = (train, valid, test)
    if min(counts) < 1:
        raise UsageError(f"draw_splits: each set needs an image, not {counts}")
    sheet, whole = Sheet(250), sum(counts)
    sheet.text(WIDTH / 2, 15, f"{whole:,} images", 14, bold=True)
    # a small set is still wide enough for its name
    shares = [max(count / whole, 0.14) for count in counts]
    widths = [share / sum(shares) * (WIDTH - 20) for share in shares]
    at, middles = 10.0, []
    for (name, colours, _), count, width in zip(USES, counts, widths, strict=True):
        sheet.box(at, 32, width, 58, colours, radius=0)
        sheet.text(at + width / 2, 52, name, 14, bold=True)
        sheet.text(at + width / 2, 73, f"{count:,} ({count / whole:.0%})", 12.5)
        middles.append(at + width / 2)
        at += width
    for i, (_, colours, (verb, what, when)) in enumerate(USES):
        x = 140.0 + 275 * i
        sheet.arrow(
            (middles[i], 92), (middles[i], 116), (x, 116), (x, 150), colour=colours[1]
        )
        sheet.step(x, 186, 190, [verb, what, when], colours, bold=True)
    for i, words in enumerate(("a network", "the best one")):
        x = 277.5 + 275 * i
        sheet.arrow((x - 42, 186), (x + 40, 186))
        sheet.text(x, 172, words, 11.5, "soft")
    sheet.arrow((415, 219), (415, 236), (140, 236), (140, 220), dashed=True)
    sheet.text(277, 225, "again, with other settings", 11.5, "soft")
    return sheet.done(
        f"Diagram: {whole} images in three sets; the {train} of train for learning "
        f"weights, the {valid} of validation for choosing, the {test} of test for one "
        "report at the end"
    )
