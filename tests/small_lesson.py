"""A made-up lesson with all kinds of cells that computes in a moment, and what students make of it."""

import nbformat

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
v4 = nbformat.v4
SECRETS = ("SECRET-1", "SECRET-2", "SECRET-3", "SECRET-4", "SECRET-5")


def text(source, *tags, **ours):
    return v4.new_markdown_cell(source, metadata={"tags": list(tags)} | ({"cnnviz": ours} if ours else {}))


def code(source, *tags):
    return v4.new_code_cell(source, metadata={"tags": list(tags)})


def asked(key, level, kind, points, words):
    return text(f"**{key}** {words}", "exercise", exercise=key, level=level, kind=kind, points=points)


CELLS = [
    text("# 01 · How many are dead?\n\n**You will see** zeros."),
    code('seed: int = 0  # seed of the numbers\ncount: int = 12  # how many numbers', "parameters"),
    code("import numpy as np\n\nimport cnnviz_utils as cv\n\nnumbers = np.arange(count) % 4"),
    code('cv.predict_first("How many of the numbers are zero?", ["none", "a quarter", "most"], key="01.a")', "predict"),
    code('cv.answer_prediction("01.a", int((numbers == 0).mean() > 0) + int((numbers == 0).mean() > 0.5))'),
    code('cv.claim("a quarter is zero", f"{(numbers == 0).mean():.2f}", (numbers == 0).mean() == 0.25)'),
    code('cv.record("01_small", {"data_fingerprint": "counted", "zeros": (numbers == 0).mean(), "table": {"a": 1}})'),
    text("## Exercises"),
    asked("01.1", "easy", "computing", 2, "What share of the numbers is zero?"),
    code('@cv.exercise("01.1", hints=("Count the zeros.", "Divide by all."))\ndef _(share):\n'
         '    assert 0 <= share <= 1, f"A share lies between 0 and 1; yours is {share}."\n'
         '    assert abs(share - (numbers == 0).mean()) < 0.05, "Count zeros, not ones."', "check-definition"),
    code("share = ...  # your code", "answer"),
    code('cv.check("01.1", share)', "check"),
    code('share = (numbers == 0).mean()  # SECRET-1\ncv.check("01.1", share)\nprint("a quarter is zero, SECRET-2")', "solution"),
    code('@cv.check_hidden("01.1", share)\ndef _(share):\n    assert round(float(share), 6) == 0.25, "Not exactly SECRET-3."', "hidden-check"),
    asked("01.2", "easy", "reading", 1, "Which number comes first? Look at the table."),
    code('@cv.exercise("01.2")\ndef _(first):\n    assert first in range(4), "It is one of 0 to 3."\n'
         '    assert first == numbers[0], "That one comes later."', "check-definition"),
    code("first = ...  # your code", "answer"),
    code('cv.check("01.2", first)', "check"),
    code('first = 0\ncv.check("01.2", first)\nprint("zero comes first")', "solution"),
    asked("01.3", "think", "computing", 3, "Write a function that doubles."),
    code('@cv.exercise("01.3", hints=("Add it to itself.",))\ndef _(double):\n'
         '    assert double(2) == 4, f"double(2) is 4, yours gives {double(2)}."', "check-definition"),
    code("def double(x):\n    ...", "answer"),
    code('cv.check("01.3", double)', "check"),
    code('def double(x):\n    return x + x  # SECRET-4\n\n\ncv.check("01.3", double)', "solution"),
    code('@cv.check_hidden("01.3", double)\ndef _(double):\n    assert double("ab") == "abab", "Only numbers are doubled."', "hidden-check"),
    asked("01.4", "open", "explaining", 4, "Why are there zeros? ![p](attachment:p.png)"),
    text("*Your answer here.*", "answer"),
    text("Because 4 divides them, SECRET-5.", "solution"),
]


def lesson():
    """The lesson as its author has it."""
    cells = [nbformat.from_dict(dict(cell)) for cell in CELLS]
    for number, cell in enumerate(cells):
        cell["id"] = f"c{number:03}"
    question = next(cell for cell in cells if cell.metadata.get("cnnviz", {}).get("exercise") == "01.4")
    question["attachments"] = {"p.png": {"image/png": PIXEL}}
    solution = cells[-1]
    solution["attachments"] = {"SECRET.png": {"image/png": PIXEL}}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def write_lesson(folder):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "01_small.ipynb"
    nbformat.write(lesson(), path)
    return path
