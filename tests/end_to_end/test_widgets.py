"""An explorer shows sliders to a person and pictures to a report."""

import nbformat
import pytest
import zmq
from nbclient import NotebookClient
from traitlets.config import Config

from cnnviz_utils.plot import widgets

CODE = """
import torch
from cnnviz_utils.plot import show_images
from cnnviz_utils.plot.widgets import explore
def shade(level=0, green=True):
    return show_images(torch.full((1, 3, 8, 8), level / 10), alt=f"level {level} green {green}")
explore(shade, level=(0, 8), green=[True, False], examples=[{"level": 2}, {"level": 8, "green": False}])
"""


MOVE = """
import gc, ipywidgets
[slider] = [w for w in gc.get_objects() if isinstance(w, ipywidgets.IntSlider)]
slider.value = 5
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What one kernel shows: "still" to a headless run, "live" to a person, and inside the widget before and after the
    slider moves. One kernel for all, because starting one takes seconds."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in (CODE, CODE, MOVE)])
    # files for sockets: a free port can be taken by another test's kernel before this one opens it
    sockets = Config(KernelManager={"transport": "ipc", "ip": str(tmp_path_factory.mktemp("k") / "k")})
    client, result = NotebookClient(notebook, kernel_name="python3", timeout=120, config=sockets), {}

    def inside():
        """The alt texts of the pictures inside the widget's output area."""
        [area] = [state for state in client.widget_state.values() if state["_model_name"] == "OutputModel"]
        return [output["metadata"]["image/png"]["alt"] for output in area["outputs"]]

    with client.setup_kernel():
        channel = client.kc.shell_channel
        send = channel.send

        def send_and_look(message):
            """nbclient sends for a widget while it waits for an answer on the same socket, and can miss that answer
            until its timeout; asking for the socket's events shows it what has come."""
            send(message)
            channel.socket.get(zmq.EVENTS)

        channel.send = send_and_look
        client.kc.allow_stdin = False  # what headless runs say of themselves; JupyterLab says True
        client.execute_cell(notebook.cells[0], 0)
        assert not client.widget_state
        client.kc.allow_stdin = True
        client.execute_cell(notebook.cells[1], 1)
        result["before"] = inside()
        client.execute_cell(notebook.cells[2], 2)
        result["after"] = inside()
    for name, cell in zip(("still", "live"), notebook.cells, strict=False):
        [result[name]] = [output for output in cell.outputs if output.output_type == "display_data"]
    return result


def test_nobody_there_gives_small_multiples_without_widgets(seen):
    assert set(seen["still"].data) == {"image/png", "text/plain"}
    alt = seen["still"].metadata["image/png"]["alt"]
    assert "level 2 green True" in alt and "level 8 green False" in alt


def test_someone_there_gets_sliders_with_a_picture_to_fall_back_on(seen):
    assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= set(seen["live"].data)


def test_the_sliders_start_at_the_first_example_and_draw_a_picture_each_time_they_move(seen):
    assert seen["before"] == ["level 2 green True"]
    assert seen["after"] == ["level 5 green True"]


@pytest.mark.parametrize(("control", "expected"), [
    ((1, 4), [1, 2, 3, 4]), ((0, 10, 5), [0, 5, 10]), ((0.0, 1.0, 0.5), [0.0, 0.5, 1.0]), ((2.0, 2.0), [2.0]),
    (True, [True, False]), (["a", "b"], ["a", "b"]),
])
def test_values_of_a_control(control, expected):
    assert widgets.values(control) == expected


@pytest.mark.parametrize(("control", "value", "kind"), [
    ((0, 0), 0, "IntSlider"), ((2.0, 2.0), 2.0, "FloatSlider"), ((0, 9, 3), 6, "IntSlider"),
    ((0.0, 4.0, 0.5), 1.5, "FloatSlider"), (True, False, "Checkbox"), (["a", "b"], "b", "Dropdown"),
])
def test_a_control_is_set_to_its_value(control, value, kind):
    made = widgets.widget(control, value)
    assert type(made).__name__ == kind and made.value == value


def test_unknown_control_is_named():
    with pytest.raises(ValueError, match="no control named.*depht"):
        widgets.explore(lambda depth: None, depth=[1], examples=[{"depht": 1}])


def test_at_the_screen_a_diagram_is_drawn_once_and_a_report_gets_both_kinds():
    import numpy as np

    from cnnviz_utils import plot

    diagram = plot.draw_convolution(np.ones((5, 5)), np.ones((3, 3)), 1, 0, (0, 0))
    data, metadata = widgets.Shown(diagram)._repr_mimebundle_()
    assert set(data) == {"image/svg+xml", "text/plain"} and metadata["image/svg+xml"]["alt"] == diagram.alt
    assert "png" not in vars(diagram)  # not even drawn
    both = diagram._repr_mimebundle_()[0]
    assert {"image/svg+xml", "image/png"} <= set(both) and diagram.array.ndim == 3
