"""Predictions: a question with choices before the number, and what the number says
after it."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any, SupportsIndex

from IPython.display import publish_display_data

from cnnviz_utils.base.presence import someone_is_there
from cnnviz_utils.course.records import carried

PREDICTION = "application/vnd.cnnviz.prediction+json"


@dataclass
class Prediction:
    """A question, its choices, and which one the reader took (None: none yet)."""

    question: str
    choices: tuple[str, ...]
    chosen: int | None = None
    buttons: Any = None

    def words(self, index: int) -> str:
        return f"{ascii_lowercase[index]}) {self.choices[index]}"


_predictions: dict[str, Prediction] = {}  # of this kernel's lesson


def predict_first(question: str, choices: Sequence[str], key: str) -> None:
    """Ask before the number is there: choices to click on in JupyterLab, a list in a
    page. `answer_prediction` with the same key says later which one it was.

    Raises ValueError unless there are 2 to 26 choices.
    """
    if not 2 <= len(choices) <= len(ascii_lowercase):
        raise ValueError(f"predict_first({key!r}): {len(choices)} choices, not 2 to 26")
    known = _predictions[key] = Prediction(question, tuple(map(str, choices)))
    items = "".join(f"<li>{html.escape(choice)}</li>" for choice in known.choices)
    listed = [known.words(index) for index in range(len(choices))]
    data = _bundle(
        key,
        {"question": question, "choices": list(known.choices)},
        "\n".join([f"Predict: {question}", *listed]),
        f'<div class="prediction"><p><strong>Predict:</strong> '
        f'{html.escape(question)}</p><ol type="a">{items}</ol></div>',
    )
    if someone_is_there():
        data |= _panel(known)._repr_mimebundle_()
    publish_display_data(data)


def answer_prediction(
    key: str,
    index: SupportsIndex | None = None,
    *,
    scores: Sequence[float] | None = None,
) -> None:
    """Say which choice the number gives, and whether the reader took it.

    index: the choice that the number gives, from 0. scores: instead of it a number for
    each choice, of which the highest gives it; equal ones are named together.

    Raises ValueError if there is no such choice.
    """
    if key not in _predictions:
        said = "Run the cell with the question first."
        publish_display_data(_bundle(key, {}, said, f"<p>{said}</p>"))
        return
    known, many = _predictions[key], len(_predictions[key].choices)
    if scores is None:
        best = [] if index is None else [index.__index__()]
    elif len(scores) == many:
        best = [i for i, score in enumerate(scores) if score == max(scores)]
    else:
        said = f"{len(scores)} scores for {many} choices"
        raise ValueError(f"answer_prediction({key!r}): {said}")
    if not best or not 0 <= best[0] < many:
        raise ValueError(f"answer_prediction({key!r}): choice {index} of {many}")
    if known.buttons is not None:
        known.buttons.disabled = True
    if known.chosen is None:
        own = ""
    elif known.chosen in best:
        own = "That is what you predicted."
    else:
        own = f"You predicted {known.words(known.chosen)}"
    number = f"The number gives {known.words(best[0])}"
    if len(best) > 1:
        number = f"Equal here: {' and '.join(map(known.words, best))}."
    content = {"given": best[0], "predicted": known.chosen}
    page = (
        f'<p class="prediction"><strong>{html.escape(number)}</strong> '
        f"{html.escape(own)}</p>"
    )
    publish_display_data(_bundle(key, content, f"{number} {own}".strip(), page))


def predicted(notebook) -> dict[str, dict]:
    """By key: the `given` and `predicted` choices in a notebook's outputs."""
    found = [data for _, data in carried(notebook, PREDICTION)]
    return {
        one["key"]: {name: one[name] for name in ("given", "predicted")}
        for one in found
        if "given" in one
    }


def _bundle(key: str, content: dict, plain: str, page: str) -> dict[str, Any]:
    return {
        PREDICTION: {"key": key} | content,
        "text/plain": plain,
        "text/html": page,
    }


def _panel(known: Prediction):
    """The question above buttons, and a line that says what was taken."""
    import ipywidgets

    question = ipywidgets.HTML(
        f"<strong>Predict:</strong> {html.escape(known.question)}"
    )
    options = [(known.words(index), index) for index in range(len(known.choices))]
    buttons = ipywidgets.RadioButtons(
        options=options, value=None, layout={"width": "max-content"}
    )
    noted = ipywidgets.HTML("Choose one, then go on.")

    def choose(change) -> None:
        known.chosen = change["new"]
        noted.value = "Noted. The number comes below."

    buttons.observe(choose, "value")
    known.buttons = buttons
    return ipywidgets.VBox([question, buttons, noted])
