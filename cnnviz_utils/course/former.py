"""Names that lessons had before some were split and all were numbered anew, and what
answers to them now: a sentence on the command line, a small page among the pages."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from cnnviz_utils.base.files import write_whole
from cnnviz_utils.course.pages import style, template

FORMER = {
    "03_transfer_learning": ("03_borrowed_features", "04_fine_tuning"),
    "04_freezing_layers": ("05_freezing_layers",),
    "05_resnet_amp": ("06_residual_networks", "07_mixed_precision"),
    "06_deconvnet": ("08_deconvnet",),
    "07_grad_cam": ("09_grad_cam",),
    "08_class_visualisation": ("10_class_visualisation",),
    "09_architectures": ("11_alexnet_vgg", "12_googlenet_to_mobilenet"),
    "10_bug_museum": ("13_bug_museum",),
}


def moved(word: str, lessons: Iterable[str]) -> str:
    """A sentence that names the lessons that took the place of a former one; "" if no
    former lesson has that name, or a part of it, or if its followers are not here.

    word: a former name ("05_resnet_amp") or a part that only one of them has.
    """
    there = set(lessons)
    hits = [word] if word in FORMER else [old for old in FORMER if word in old]
    if len(hits) != 1 or not there.issuperset(FORMER[hits[0]]):
        return ""
    new = FORMER[hits[0]]
    kind = "is now two lessons:" if len(new) > 1 else "is now lesson"
    return f"{hits[0]} {kind} {' and '.join(new)} (the lessons were numbered anew)"


def write_former_pages(out: Path) -> None:
    """OUT/OLD_NAME.html for every former name whose lessons have pages in OUT: it leads
    on to them, at once where there is only one. A page of the former lesson itself that
    still lies there is replaced."""
    for old, new in FORMER.items():
        links = [name for name in new if (out / f"{name}.html").is_file()]
        if links:
            page = template("moved.html.j2").render(
                style=style(),
                old=old,
                links={name: f"{quote(name)}.html" for name in links},
                at_once=len(new) == 1,
            )
            write_whole(out / f"{old}.html", page)


def followed(name: str, out: Path) -> bool:
    """Whether a former lesson's follower has a page in OUT: then what is left of the
    former one is out of date."""
    return any((out / f"{new}.html").is_file() for new in FORMER.get(name, ()))
