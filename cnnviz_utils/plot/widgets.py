"""`explore`: sliders for a person in JupyterLab, pictures of chosen settings in a
report."""

from collections.abc import Callable, Sequence

from IPython.display import publish_display_data

from cnnviz_utils.base.presence import someone_is_there
from cnnviz_utils.plot import Picture, tile
from cnnviz_utils.plot.places import CONTROLS


def explore(
    function: Callable[..., Picture],
    *,
    examples: Sequence[dict] | None = None,
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    **controls,
) -> None:
    """Let the reader call `function` with other settings.

    function: takes keyword arguments and returns a Picture.
    controls: by name; a list is a menu, (low, high) or (low, high, step) a slider, a
        bool a tick box, and a Draw, Drag, Cells or Photo a picture (see `places`).
    examples: the settings that a report shows, each a dict with values for some of the
        controls (the others stay at their first value). By default the first control
        takes up to four of its values.
    captions: a title for each example; by default the settings that vary.
    columns: how many examples stand side by side; by default as many as fit.

    Raises:
        ValueError: an example names a control that there is not.
    """
    start = {name: values(control)[0] for name, control in controls.items()}
    if examples is None:
        first = next(iter(controls))
        choices = values(controls[first])
        examples = [{first: c} for c in choices[:: max(1, -(-len(choices) // 4))]]
    for example in examples:
        if unknown := set(example) - set(controls):
            raise ValueError(
                f"explore() has no control named {sorted(unknown)}; "
                f"it has {sorted(controls)}"
            )
    captions = captions or [
        ", ".join(f"{k} = {v}" for k, v in example.items()) for example in examples
    ]
    live = someone_is_there()
    shown = examples[:1] if live else examples
    still = [function(**{**start, **example}) for example in shown]
    picture = still[0] if len(still) == 1 else tile(still, list(captions), columns)
    data, metadata = picture._repr_mimebundle_()
    # the page shows the sliders; a report made of this notebook falls back on the
    # picture
    if live:
        import ipywidgets

        ready = iter(still)  # the first picture is made already
        draw = lambda **settings: Shown(next(ready, None) or function(**settings))
        at = {**start, **examples[0]}
        panel = ipywidgets.interactive(
            draw,
            {"auto_display": True},
            **{n: widget(c, at[n]) for n, c in controls.items()},
        )
        data |= panel._repr_mimebundle_()
    publish_display_data(data, metadata)


class Shown:
    """A picture as a person at the screen sees it: drawn once, in the one kind that
    JupyterLab shows."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.picture.on_screen()


def values(control) -> list:
    """What a control can be set to, in order."""
    if isinstance(control, CONTROLS):
        return [control.first]
    if isinstance(control, bool):
        return [control, not control]
    if isinstance(control, tuple):
        low, high, step = (
            control
            if len(control) == 3
            else (*control, 1 if isinstance(control[0], int) else None)
        )
        step = step or (high - low) / 10 or 1
        count = round((high - low) / step) + 1
        return [
            low + i * step if isinstance(step, int) else round(low + i * step, 10)
            for i in range(count)
        ]
    return list(control)


def widget(control, value):
    """A tick box, a slider that waits until it is let go, or a menu, set to `value`."""
    import ipywidgets

    if isinstance(control, CONTROLS):
        return control.widget(value)
    if isinstance(control, bool):
        return ipywidgets.Checkbox(value=value)
    if isinstance(control, tuple):
        choices = values(control)
        kind = (
            ipywidgets.IntSlider
            if all(isinstance(choice, int) for choice in choices)
            else ipywidgets.FloatSlider
        )
        # one choice: a slider that stays where it is
        step = choices[1] - choices[0] if len(choices) > 1 else 1
        return kind(
            value=value,
            min=control[0],
            max=control[1],
            step=step,
            continuous_update=False,
        )
    return ipywidgets.Dropdown(options=list(control), value=value)
