"""Notebook files as they come: read, and mended where the damage is harmless.

The result is the little that a page needs. Every field has its type, so that nothing
after this has to ask again.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cnnviz_utils.base.settings import UsageError

MOST_BYTES = 200_000_000  # of a file; more is refused
NOT_TEXT = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f\ud800-\udfff]")
OLD_KINDS = {  # nbformat 3 has the kinds of an output as fields of their own
    "text": "text/plain",
    "html": "text/html",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "latex": "text/latex",
    "json": "application/json",
    "javascript": "application/javascript",
}


@dataclass
class Output:
    """One output. kind: "stream", "data" or "error".

    data and facts: contents by MIME type, and what the notebook says about each. For a
    stream `text` is its text and `name` stdout or stderr, for an error its traceback.
    """

    kind: str
    text: str = ""
    name: str = "stdout"
    data: dict[str, object] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)


@dataclass
class Cell:
    """One cell. kind: "code", "markdown", "raw", or whatever else the file says.

    attachments: pictures pasted into a text, (MIME type, base64) by name. ours: what
    the cell's metadata say under "cnnviz". count: the number in its brackets, None if
    it was not run.
    """

    kind: str
    source: str = ""
    tags: tuple[str, ...] = ()
    outputs: list[Output] = field(default_factory=list)
    attachments: dict[str, tuple[str, str]] = field(default_factory=dict)
    ours: dict[str, object] = field(default_factory=dict)
    count: int | None = None


@dataclass
class Notebook:
    """The cells in order, the language that they are written in, and what else the
    file says of itself."""

    cells: list[Cell]
    language: str = "python"
    metadata: dict = field(default_factory=dict)


def read_notebook(path: Path) -> Notebook:
    """A notebook file of nbformat 3, 4 or later, in any encoding of Unicode.

    Raises UsageError, one sentence that names the file, if it is not there, cannot be
    read, is too large, or is no notebook.
    """
    if not path.exists():
        raise UsageError(f"{path} is not there")
    if not path.is_file():
        raise UsageError(f"{path} is not a file")
    try:
        if path.stat().st_size > MOST_BYTES:
            size = f"{path.stat().st_size / 1e6:.0f} MB"
            most = f"{MOST_BYTES / 1e6:.0f} MB"
            raise UsageError(f"{path} has {size}, more than the {most} that are read")
        return repaired(json.loads(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise UsageError(f"{path} is not a notebook: nested too deeply") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a notebook: not text in UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}: {error.msg.removesuffix(' starting at')}"
        said = f"not JSON, {where} (cut off, or damaged?)"
        raise UsageError(f"{path} is not a notebook: {said}") from None
    except ValueError as error:
        said = str(error).split(";")[0]
        raise UsageError(f"{path} is not a notebook: {said}") from None


def repaired(content: object) -> Notebook:
    """A notebook's JSON (or nbformat's NotebookNode) with its damage mended.

    Raises ValueError if it holds no list of cells.
    """
    if not isinstance(content, dict):
        raise ValueError("it holds no cells")
    sheets = _dicts(content.get("worksheets"))
    cells = content.get("cells")
    if isinstance(cells, list):
        found = _dicts(cells)
    elif sheets:
        found = [cell for sheet in sheets for cell in _dicts(sheet.get("cells"))]
    else:
        raise ValueError("it holds no cells")
    metadata = _dict(content.get("metadata"))
    known = (
        _dict(metadata.get("language_info")).get("name"),
        _dict(metadata.get("kernelspec")).get("language"),
        found[0].get("language") if found else None,
    )
    language = next((name for name in known if name and isinstance(name, str)), "")
    return Notebook([_cell(cell) for cell in found], language or "python", metadata)


def text(value: object) -> str:
    """Text of a field: lists of lines are joined, numbers written out, and what is no
    character (half a surrogate pair, control characters) is shown as U+FFFD."""
    if isinstance(value, list | tuple):
        value = "".join(text(line) for line in value)
    elif value is None:
        value = ""
    elif not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return NOT_TEXT.sub("\ufffd", value)


def _dict(value: object) -> dict:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list:
    return list(value) if isinstance(value, list | tuple) else []


def _dicts(value: object) -> list[dict]:
    return [one for one in _list(value) if isinstance(one, dict)]


def _cell(raw: dict) -> Cell:
    kind = text(raw.get("cell_type")) or "code"
    source = text(raw.get("source", raw.get("input")))
    if kind == "heading":  # nbformat 3
        level = raw.get("level")
        level = level if isinstance(level, int) and 0 < level < 7 else 1
        kind, source = "markdown", f"{'#' * level} {' '.join(source.split())}"
    tags = _list(_dict(raw.get("metadata")).get("tags"))
    count = raw.get("execution_count", raw.get("prompt_number"))
    return Cell(
        kind,
        source.replace("\r\n", "\n"),
        tuple(text(tag) for tag in tags),
        list(_joined(_output(one) for one in _dicts(raw.get("outputs")))),
        dict(_attachments(_dict(raw.get("attachments")))),
        _dict(_dict(raw.get("metadata")).get("cnnviz")),
        count if isinstance(count, int) else None,
    )


def _output(raw: dict) -> Output:
    kind = raw.get("output_type")
    if kind == "stream":
        name = raw.get("name", raw.get("stream"))
        name = "stderr" if name == "stderr" else "stdout"
        return Output("stream", text(raw.get("text")), name)
    if kind in ("error", "pyerr"):
        lines = [text(line) for line in _list(raw.get("traceback"))]
        said = f"{text(raw.get('ename'))}: {text(raw.get('evalue'))}"
        return Output("error", "\n".join(lines) or said.strip(": "))
    data = _dict(raw.get("data"))
    data |= {OLD_KINDS[name]: raw[name] for name in OLD_KINDS if name in raw}
    clean = {
        text(mime): value if mime.endswith("json") else text(value)
        for mime, value in data.items()
        if isinstance(mime, str) and value is not None
    }
    return Output("data", data=clean, facts=_dict(raw.get("metadata")))


def _joined(outputs: Iterable[Output]) -> Iterable[Output]:
    """Streams of one name that follow each other are one text."""
    last: Output | None = None
    for output in outputs:
        stream = output.kind == "stream"
        if last and stream and (last.kind, last.name) == ("stream", output.name):
            last.text += output.text
            continue
        last = output
        yield output


def _attachments(raw: dict) -> Iterable[tuple[str, tuple[str, str]]]:
    for name, contents in raw.items():
        pictures = {
            mime: text(value)
            for mime, value in _dict(contents).items()
            if isinstance(mime, str) and mime.startswith("image/")
        }
        for mime, value in pictures.items():
            yield name, (mime, "".join(value.split()))
            break
