"""Exercises answer in words and never stop a notebook; predictions are answered by the number."""

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from nbclient import NotebookClient

from cnnviz_utils.course import exercises, predictions
from cnnviz_utils.course.report import render

v4 = nbformat.v4


@pytest.fixture
def shown(monkeypatch):
    """The bundles that are published, in a lesson that has just begun."""
    bundles = []
    for module in (exercises, predictions):
        monkeypatch.setattr(module, "publish_display_data", bundles.append)
    monkeypatch.setattr(exercises, "_exercises", {})
    monkeypatch.setattr(predictions, "_predictions", {})
    return bundles


def said(bundle):
    verdict = bundle[exercises.VERDICT]
    return verdict["state"], verdict["message"], list(verdict["hints"])


# as in a lesson: pytest changes the asserts that it sees
NAMES: dict = {}
exec("""
def a_quarter(share):
    assert 0 <= share <= 1, f"A share lies between 0 and 1; yours is {share}."
    assert share == 0.25, "Count only <b>."

def square(f):
    assert f(3) == 9, "3 squared is 9"

def strict(x):
    assert x
    raise ValueError("y" * 5000)
""", NAMES)
a_quarter, square, strict = (NAMES[name] for name in ("a_quarter", "square", "strict"))


def test_what_is_wrong_then_a_hint_then_the_second_and_right(shown):
    exercises.exercise("05.1", hints=("first", "second"))(a_quarter)
    for answer in (..., 7, 0.5, 0.5, 0.25, float("nan")):
        exercises.check("05.1", answer)
    assert [said(bundle) for bundle in shown] == [
        ("unanswered", "", []), ("wrong", "A share lies between 0 and 1; yours is 7.", ["first"]),
        ("wrong", "Count only <b>.", ["first", "second"]), ("wrong", "Count only <b>.", ["first", "second"]), ("right", "", []),
        ("wrong", "A share lies between 0 and 1; yours is nan.", ["first", "second"])]
    assert "not right yet" in shown[1]["text/plain"] and "Hint: first" in shown[1]["text/plain"]
    assert "<b>" not in shown[2]["text/html"] and "&lt;b&gt;" in shown[2]["text/html"]


def test_the_definition_run_again_keeps_the_hints(shown):
    for _ in range(2):
        exercises.exercise("1", hints=["first", "second"])(a_quarter)
        exercises.check("1", 0.5)
    assert said(shown[1])[2] == ["first", "second"]


def test_a_function_that_gives_nothing_is_not_answered_and_one_that_raises_is_wrong(shown):
    exercises.exercise("1")(square)

    def stub(x): ...

    def ellipsis(x):
        return ...

    def broken(x):
        return missing  # noqa: F821

    for function in (stub, ellipsis, broken, lambda x: x, lambda x: x * x):
        exercises.check("1", function)
    states = [said(bundle)[:2] for bundle in shown]
    assert states[:2] == [("unanswered", "")] * 2 and states[3:] == [("wrong", "3 squared is 9"), ("right", "")]
    assert states[2] == ("wrong", "Trying the answer gave NameError: name 'missing' is not defined")


def test_half_answered_tables_unknown_exercises_and_wrong_calls_are_words(shown):
    exercises.exercise("1")(lambda a, b: None)
    exercises.check("1", {"x": ..., "y": 2}, [1])
    exercises.check("1", {"x": 1}, [1, ...])
    exercises.check("2", 1)
    exercises.check("1", 1)  # an answer is missing
    assert [said(bundle)[0] for bundle in shown] == ["unanswered"] * 3 + ["wrong"] and "Run the cell" in said(shown[2])[1]
    exercises.check("1", 1, 2)
    assert said(shown[-1])[0] == "right"
    with pytest.raises(TypeError, match="several texts"):
        exercises.exercise("1", hints="only one")


def test_an_assert_without_words_and_a_message_without_end(shown):
    exercises.exercise("1")(strict)
    exercises.check("1", 0)
    exercises.check("1", 1)
    assert said(shown[0])[1] == "The check does not hold for this answer." and len(said(shown[1])[1]) < 700


def test_a_hidden_check_speaks_at_once_and_says_that_it_is_hidden(shown):
    for answer in (0.25, 0.5, ...):
        exercises.check_hidden("05.1", answer)(a_quarter)
    assert [bundle[exercises.VERDICT]["state"] for bundle in shown] == ["right", "wrong", "unanswered"]
    assert all(bundle[exercises.VERDICT]["hidden"] for bundle in shown)


def test_predictions_are_answered_by_the_number(shown):
    predictions.predict_first("How <many>?", ["none", "some"], key="05.a")
    predictions.answer_prediction("05.a", True)
    predictions._predictions["05.a"].chosen = 0
    predictions.answer_prediction("05.a", 0)
    predictions.answer_prediction("05.a", 1)
    predictions.answer_prediction("05.b", 1)
    assert [bundle["text/plain"] for bundle in shown] == [
        "Predict: How <many>?\na) none\nb) some", "The number gives b) some", "The number gives a) none That is what you predicted.",
        "The number gives b) some You predicted a) none", "Run the cell with the question first."]
    assert "&lt;many&gt;" in shown[0]["text/html"] and "application/vnd.jupyter.widget-view+json" not in shown[0]
    for wrong in (2, -1):
        with pytest.raises(ValueError, match=r"choice -?\d of 2"):
            predictions.answer_prediction("05.a", wrong)
    with pytest.raises(ValueError, match="1 choices"):
        predictions.predict_first("?", ["one"], key="05.c")


def test_equal_numbers_give_no_winner(shown):
    predictions.predict_first("Which?", ["ant", "bee", "cat"], key="05.a")
    predictions.answer_prediction("05.a", scores=[0.5, 0.7, 0.6])
    predictions.answer_prediction("05.a", scores=np.array([0.7, 0.5, 0.7]))
    predictions._predictions["05.a"].chosen = 2
    predictions.answer_prediction("05.a", scores=[0.7, 0.5, 0.7])
    assert [bundle["text/plain"] for bundle in shown[1:]] == [
        "The number gives b) bee", "Equal here: a) ant and c) cat.", "Equal here: a) ant and c) cat. That is what you predicted."]
    for scores in ([], [1, 2], [float("nan")] * 3):
        with pytest.raises(ValueError, match="(of|for) 3"):
            predictions.answer_prediction("05.a", scores=scores)


def test_a_person_gets_buttons_that_are_locked_by_the_number(shown, monkeypatch):
    monkeypatch.setattr(predictions, "someone_is_there", lambda: True)
    predictions.predict_first("How many?", ["none", "some"], key="05.a")
    buttons = predictions._predictions["05.a"].buttons
    assert "application/vnd.jupyter.widget-view+json" in shown[0] and buttons.value is None
    buttons.value = 1
    predictions.answer_prediction("05.a", 1)
    assert "what you predicted" in shown[1]["text/plain"] and buttons.disabled
    assert shown[1][predictions.PREDICTION] == {"key": "05.a", "given": 1, "predicted": 1}


def code(source, *tags):
    return v4.new_code_cell(source, metadata={"tags": list(tags)})


@pytest.fixture(scope="module")
def lesson():
    """A lesson that holds unanswered stubs, run without a person."""
    worth = {"exercise": "05.1", "level": "think", "kind": "computing", "points": 1}
    notebook = v4.new_notebook(cells=[
        v4.new_markdown_cell("# 05 · Is it?"), code("import cnnviz_utils as cv"),
        code('cv.predict_first("How many?", ["none", "some"], key="05.a")', "predict"), code('cv.answer_prediction("05.a", 1)'),
        v4.new_markdown_cell("**05.1** How many?", metadata={"tags": ["exercise"], "cnnviz": worth}),
        code('@cv.exercise("05.1")\ndef _(share):\n    assert share == 0.25, "no"', "check-definition"),
        code("share = ...", "answer"), code('cv.check("05.1", share)', "check"),
        code('share = 0.25\ncv.check("05.1", share)\nprint("a quarter")', "solution"),
        code('@cv.check_hidden("05.1", share)\ndef _(share):\n    assert share == 0.25', "hidden-check"),
        v4.new_markdown_cell("A **model** answer.", metadata={"tags": ["solution"]})])
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    return notebook


def test_verdicts_are_in_the_outputs_for_metrics_and_grader(lesson):
    assert exercises.summary_of(lesson) == {"05.1": {"answer": "unanswered", "solution": "right", "hidden": "right"}}
    assert predictions.predicted(lesson) == {"05.a": {"given": 1, "predicted": None}}
    from cnnviz_utils.course.run import check_whole

    assert check_whole(lesson) == ""


def test_pages_fold_checks_and_solutions_and_list_the_choices(lesson):
    main = BeautifulSoup(render(lesson), "html.parser").main
    folds = {fold.summary.get_text(): fold for fold in main.select("details.fold")}
    assert list(folds) == ["How the answer is checked", "Solution", "What only the grader checks"]
    assert "open" not in folds["Solution"].attrs and len(main.select("details.fold")) == 4
    solutions = [fold for fold in main.select("details.fold") if fold.summary.get_text() == "Solution"]
    assert "a quarter" in solutions[0].get_text() and "model" in solutions[1].get_text()
    assert "not answered yet" in main.get_text() and not main.find("p", class_="unanswered").find_parent("details")
    assert [li.get_text() for li in main.select(".prediction li")] == ["none", "some"]
    assert main.select_one(".worth").get_text() == "to think about · computing · 1 point"


@pytest.mark.parametrize(("source", "tags", "seen"), [
    ('cv.predict_first(\n    "How many?",\n    ["none", "some"],\n    key="05.a",\n)', ["predict"], False),
    ('cv.predict_first("How many?", ["none", "some"], key="05.a")', [], True),
    ('cv.predict_first("How many?", ["none", "some"], key="05.a")\ncheat()', ["predict"], True),
    ("cv.predict_first(cheat())", ["predict"], True),
])
def test_a_page_leaves_out_a_predictions_code_and_no_other(source, tags, seen):
    output = nbformat.v4.new_output("display_data", {"text/html": "<p>Predict: How many?</p>"})
    cell = nbformat.v4.new_code_cell(source, outputs=[output], metadata={"tags": tags})
    page = render(nbformat.v4.new_notebook(cells=[cell]))
    assert "Predict: How many?" in page and ("predict_first" in page) == seen
