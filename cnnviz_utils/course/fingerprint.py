"""What an executed lesson says of where it comes from, so that an edit shows.

It is no signature: who reads this file can compute a fingerprint for anything. It
notices what was edited by hand, and mistakes; a forgery is noticed by running the
lesson again (`cnnviz verify --rerun`).
"""

import hashlib
import json

from cnnviz_utils import __version__

SIGNED = "cnnviz_run"  # the field of a notebook's metadata
INJECTED = "injected-parameters"  # papermill's tag: parameters that were given


def digest(value: object) -> str:
    """16 hexadecimal digits that stand for a text, or for JSON."""
    if not isinstance(value, str):
        value = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(value.encode(errors="replace")).hexdigest()[:16]


def own_cells(notebook) -> list:
    """The cells that are the lesson's own: without the one that papermill adds."""
    tags = lambda cell: cell.metadata.get("tags", [])
    return [cell for cell in notebook.cells if INJECTED not in tags(cell)]


def source_hash(notebook) -> str:
    """A name for what a notebook's cells say, without outputs and given parameters."""
    cells = [(cell.cell_type, cell.source) for cell in own_cells(notebook)]
    return digest(cells)


def outputs_hash(notebook) -> str:
    """A name for all outputs of a notebook."""
    return digest([cell.get("outputs", []) for cell in notebook.cells])


def fingerprint(notebook, parameters: dict, data: str, version: str) -> dict[str, str]:
    """Names for source, parameters, data, outputs and package version of a run, and
    "whole", the name for all of them together."""
    parts = {
        "source": source_hash(notebook),
        "parameters": digest(parameters),
        "data": data,
        "outputs": outputs_hash(notebook),
        "cnnviz": version,
    }
    return parts | {"whole": digest(parts)}


def sign(notebook, facts: dict) -> None:
    """Write the fingerprint of a run into its notebook's metadata, and into the facts
    of metrics.json."""
    parts = fingerprint(
        notebook, facts["parameters"], facts["provenance"]["data"], __version__
    )
    facts["fingerprint"] = parts
    facts["provenance"]["fingerprint"] = parts["whole"]
    notebook.metadata[SIGNED] = {
        "lesson": facts["lesson"],
        "parameters": facts["parameters"],
        "fingerprint": parts,
    }
