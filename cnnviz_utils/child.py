"""The process that runs one notebook: `python -m cnnviz_utils.child JSON`. Speaks to `runs.py` line by line."""

import json
import logging
import sys
import warnings
from pathlib import Path


def say(kind: str, text: str) -> None:
    print(f"{kind}\t{text}", flush=True)


def headings(cells) -> list[str]:
    """The last heading before each cell."""
    current, result = "", []
    for cell in cells:
        if cell.cell_type == "markdown":
            lines = [line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")]
            current = lines[-1] if lines else current
        result.append(current)
    return result


def main(order: dict) -> str:
    """Run the notebook; returns what went wrong in one sentence, or ""."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # a line about unencrypted TCP at every kernel's start
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.exceptions import PapermillExecutionError

    # papermill reports progress only as a bar on stderr: tell the parent before every cell instead
    execute = PapermillNotebookClient.execute_cell

    def tell(self, cell, cell_index, *args, **kwargs):
        if cell.cell_type == "code" and cell.source.strip():
            say("cell", f"{cell_index + 1}/{len(self.nb.cells)} {headings(self.nb.cells)[cell_index]}")
        return execute(self, cell, cell_index, *args, **kwargs)

    PapermillNotebookClient.execute_cell = tell
    try:
        papermill.execute_notebook(order["source"], order["target"], parameters=order["parameters"], progress_bar=False,
                                   log_output=False, cwd=str(Path(order["source"]).parent), kernel_name="python3",
                                   execution_timeout=order["timeout"], start_timeout=120, autosave_cell_every=0)
    except PapermillExecutionError as error:
        first = str(error.evalue).strip().splitlines() or [""]
        return f"cell {error.cell_index + 1} raised {error.ename}: {first[0][:300]}"
    except DeadKernelError:
        return "the kernel died: not enough memory, or a crash in a library"
    except CellTimeoutError:
        return f"a cell took longer than {order['timeout']} seconds and was stopped: --timeout allows more"
    except NoSuchKernel:
        return "there is no kernel called python3: install ipykernel into this environment"
    return ""


if __name__ == "__main__":
    say("end", json.dumps(main(json.loads(sys.argv[1]))))
