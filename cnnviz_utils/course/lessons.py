"""The lessons on disk: their names, questions and parameters, and the values that a run
gives to the parameters."""

import ast
import io
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from cnnviz_utils.base.declared import DrawnSize, declared
from cnnviz_utils.base.paths import course_root
from cnnviz_utils.base.settings import (
    UsageError,
    convert,
    nearest,
    read_mapping,
    refuse_unknown,
)
from cnnviz_utils.course.about import About, about
from cnnviz_utils.course.former import moved


@dataclass(frozen=True)
class Parameter:
    """One line of a lesson's parameters cell: `name: kind = value  # meaning`."""

    name: str
    kind: str
    value: object
    meaning: str


@dataclass(frozen=True)
class Lesson:
    """A lesson's file, its parameters by name, and what it says of itself."""

    path: Path
    title: str
    parameters: dict[str, Parameter]
    about: About = field(default_factory=About)

    @property
    def name(self) -> str:
        return self.path.stem


def read_lesson(path: Path) -> Lesson:
    """Raises UsageError if the notebook has not exactly one cell tagged "parameters" of
    annotated literals."""
    notebook = nbformat.read(path, as_version=4)
    cells = [
        c
        for c in notebook.cells
        if "parameters" in c.metadata.get("tags", []) and c.cell_type == "code"
    ]
    if len(cells) != 1:
        raise UsageError(
            f"{path.name} has {len(cells)} cells tagged 'parameters', "
            "it needs exactly one"
        )
    heading = next(
        (
            line
            for c in notebook.cells
            if c.cell_type == "markdown"
            for line in c.source.splitlines()
            if line.startswith("# ")
        ),
        f"# {path.stem}",
    )
    return Lesson(
        path,
        heading.removeprefix("# "),
        parse_parameters(cells[0].source, path.name),
        about(notebook.metadata, path.name),
    )


def parse_parameters(source: str, where: str) -> dict[str, Parameter]:
    """The parameters of a cell's source. Raises UsageError for a line that is no
    annotated literal."""
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source + "\n").readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.parse(source).body:
        try:
            if not isinstance(node, ast.AnnAssign) or node.value is None:
                raise ValueError
            if not isinstance(node.target, ast.Name):
                raise ValueError
            name, value = node.target.id, ast.literal_eval(node.value)
        except ValueError:
            raise UsageError(
                f"{where}: line {node.lineno} of the parameters cell is not "
                "`name: type = literal`"
            ) from None
        found[name] = Parameter(
            name,
            ast.unparse(node.annotation),
            value,
            comments.get(node.end_lineno or 0, ""),
        )
    return found


def value_for(parameter: Parameter, value: object, lesson: str) -> object:
    """A value, or its text from the command line, as the parameter's type, in the range
    that is declared for its name (`base.declared`). Raises UsageError if it does not
    fit."""
    what = f"{lesson}: parameter {parameter.name!r}"
    value = convert(value, parameter.kind, what)
    if kind := declared(parameter.name):
        for entry in value if isinstance(value, list) else [value]:
            convert(entry, kind, what)
    return value


def check_together(values: dict[str, object], lesson: str) -> None:
    """Raises UsageError for values that do not go with each other or with what is
    here: a size that is not drawn, a folder or a device that is not there."""
    what = f"{lesson}: parameter"
    if str(values.get("data", "")).startswith("menagerie") and "size" in values:
        convert(values["size"], DrawnSize, f"{what} 'size'")
    for name in ("root", "own_image"):
        place = values.get(name)
        if isinstance(place, str) and place and not Path(place).expanduser().exists():
            raise UsageError(f"{what} {name!r}: {place} is not there")
    device = values.get("device")
    if isinstance(device, str) and device.startswith("cuda"):
        from cnnviz_utils.base.device import pick_device

        pick_device(device)


def all_lessons(folder: Path | None = None) -> dict[str, Lesson]:
    """Every lesson by name, in order."""
    folder = folder or course_root() / "notebooks"
    return {
        path.stem: read_lesson(path)
        for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    }


def choose(wanted: list[str], lessons: dict[str, Lesson]) -> list[Lesson]:
    """Lessons by number ("2", "02"), by name, or by a part of the name that only one
    lesson has; all lessons if `wanted` is empty. Raises UsageError; for the name of a
    lesson that moved, with its new name."""
    if not wanted:
        return list(lessons.values())
    chosen = []
    for word in wanted:
        stem = word.removesuffix(".ipynb").rsplit("/", 1)[-1]
        number = f"{int(stem):02d}_" if stem.isdecimal() else None
        hits = [n for n in lessons if n == stem] or [
            n for n in lessons if (n.startswith(number) if number else stem in n)
        ]
        if len(hits) != 1:
            raise UsageError(
                moved(stem, lessons)
                or f"no lesson is called {word!r}" + nearest(word, lessons)
                if not hits
                else f"{word!r} could be {' or '.join(hits)}: say more"
            )
        chosen.append(lessons[hits[0]])
    return [lesson for i, lesson in enumerate(chosen) if lesson not in chosen[:i]]


def read_profile(
    name: str, lessons: dict[str, Lesson], folder: Path | None = None
) -> dict[str, dict]:
    """Each lesson's parameters under a profile, checked. Raises UsageError for anything
    that does not fit."""
    folder = folder or course_root() / "profiles"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise UsageError(
            f"no profile is called {name!r}"
            + nearest(name, [p.stem for p in sorted(folder.glob("*.yaml"))])
        )
    content = read_mapping(path)
    refuse_unknown(content, ("description", "all", "lessons"), path.name)
    part = lambda value, what: convert(value or {}, "dict", f"{path.name}: {what}")
    result: dict[str, dict] = {lesson: {} for lesson in lessons}
    for key, value in part(content.get("all"), "all").items():
        holders = [lesson for lesson in lessons.values() if key in lesson.parameters]
        if not holders:
            raise UsageError(f"{path.name}: no lesson has a parameter {key!r}")
        for lesson in holders:
            result[lesson.name][key] = value_for(
                lesson.parameters[key], value, lesson.name
            )
    for name_, own in part(content.get("lessons"), "lessons").items():
        if name_ not in lessons:
            raise UsageError(
                f"{path.name}: "
                + (
                    moved(name_, lessons)
                    or f"no lesson is called {name_!r}" + nearest(name_, lessons)
                )
            )
        for key, value in part(own, name_).items():
            result[name_][key] = value_for(
                known_parameter(lessons[name_], key), value, name_
            )
    return result


def known_parameter(lesson: Lesson, key: str) -> Parameter:
    """The lesson's parameter of that name. Raises UsageError with the nearest name."""
    if key not in lesson.parameters:
        raise UsageError(
            f"{lesson.name} has no parameter {key!r}" + nearest(key, lesson.parameters)
        )
    return lesson.parameters[key]


def plan(
    chosen: list[Lesson],
    profile: str,
    given: dict[str, object],
    lessons: dict[str, Lesson],
    photos: dict[str, object] | None = None,
) -> dict[str, dict]:
    """All parameters of each chosen lesson: its own, over them the profile's, over them
    the given ones. photos: for lessons that look at data; the given ones lie over them.

    A given parameter goes to every chosen lesson that has it; UsageError if none has. A
    folder or file that was given is looked for from where the user stands, and passed
    on as a whole path.
    """
    from_profile = read_profile(profile, lessons)
    if photos and not any("data" in lesson.parameters for lesson in chosen):
        raise UsageError(
            f"{chosen[0].name} has its own data: photos go to lessons that have a "
            "parameter 'data'"
        )
    for key in given:
        if not any(key in lesson.parameters for lesson in chosen):
            every = dict.fromkeys(
                name for lesson in chosen for name in lesson.parameters
            )
            raise UsageError(
                f"no chosen lesson has a parameter {key!r}" + nearest(key, every)
            )
    result = {}
    for lesson in chosen:
        own = {name: p.value for name, p in lesson.parameters.items()}
        looks = "data" in lesson.parameters
        mine = {
            k: value_for(lesson.parameters[k], v, lesson.name)
            for k, v in (((photos or {}) if looks else {}) | given).items()
            if k in lesson.parameters
        }
        for name in ("root", "own_image"):
            if mine.get(name):
                mine[name] = str(Path(str(mine[name])).expanduser().resolve())
        values = own | from_profile[lesson.name] | mine
        check_together(values, lesson.name)
        result[lesson.name] = values
    return result
