"""What the grader sends into a kernel, as text: notes the answers beside each check,
and judges them at the end. Nothing of it is in the kernel while a student's cell runs.

It runs in a namespace of its own that holds ORDER, a dict. It uses its own copy of
`course.exercises` (ORDER["exercises"], its text), so that a notebook that has replaced
`cv.check` gains nothing.
"""

import builtins
import contextlib
import copy
import io
import sys
import types

from IPython import get_ipython

ORDER: dict = globals().get("ORDER", {})
KEPT = "_cnnviz_kept"  # the module that keeps the answers noted
COMPARED = ("eq", "ne", "lt", "le", "gt", "ge", "sub", "rsub", "abs", "bool", "float")
COMPARED += ("int", "len", "contains", "round", "rtruediv", "truediv")
BUILTINS = ("abs", "all", "any", "bool", "eval", "exec", "float", "int", "isinstance")
BUILTINS += ("len", "max", "min", "range", "round", "set", "sorted", "sum", "type")
PLAIN = (int, float, complex, str, bytes, bool, type(None), list, tuple, dict, set)
missing = object()


def kept() -> dict:
    """By exercise what was noted last: (its answers, the notebook's names then)."""
    return sys.modules.setdefault(KEPT, types.ModuleType(KEPT)).__dict__


def value_of(expression: str) -> object:
    """What the notebook calls so now, or `missing`."""
    with contextlib.suppress(Exception):
        return eval(expression, dict(get_ipython().user_ns))
    return missing


def copied(value: object) -> object:
    """A copy of data, that later cells cannot change; anything else as it is."""
    library = type(value).__module__.split(".")[0]
    if isinstance(value, PLAIN) or library in ("numpy", "torch", "pandas"):
        with contextlib.suppress(Exception):
            return copy.deepcopy(value)
    return value


def note() -> None:
    """Note the answers of the exercises in ORDER["tasks"], and what every name stands
    for: a later cell may use the names of the lesson again (`train`, say)."""
    names = dict(get_ipython().user_ns)
    for key, expressions in ORDER["tasks"].items():
        found = [value_of(expression) for expression in expressions]
        if not any(value is missing for value in found):
            kept()[key] = [copied(value) for value in found], names


def replaced(fresh: dict) -> list[str]:
    """The names of what the notebook has put its own in the place of. fresh: our own
    copy of the exercises' module."""
    import cnnviz_utils as cv
    from cnnviz_utils.course import exercises as module

    found = []
    for name in ("check", "check_hidden", "exercise", "judge", "publish", "_in_words"):
        theirs = getattr(getattr(module, name, None), "__code__", None)
        if theirs != fresh[name].__code__:
            found.append(f"exercises.{name}")
        elif hasattr(cv, name) and getattr(cv, name) is not getattr(module, name):
            found.append(f"cv.{name}")
    if get_ipython().user_ns.get("cv", cv) is not cv:
        found.append("cv")
    for name in BUILTINS:
        theirs = getattr(builtins, name)
        if getattr(theirs, "__module__", "") != "builtins":
            found.append(f"builtins.{name}")
    return found


def pretends(value: object) -> str:
    """The comparison that an answer answers itself, as an object of a class that the
    notebook defines; "" if it does not."""
    if isinstance(value, type | types.FunctionType):
        return ""
    for kind in type(value).__mro__:
        if kind.__module__ != "__main__":
            continue
        for name in COMPARED:
            if f"__{name}__" in vars(kind):
                return f"{type(value).__name__}.__{name}__"
    return ""


class Shim:
    """`cv` as the lesson's own checks see it: the real one, but for the exercises."""

    def __init__(self, cv, functions: dict, run_hidden) -> None:
        self._cv, self._functions, self._run_hidden = cv, functions, run_hidden

    def __getattr__(self, name: str):
        return getattr(self._cv, name)

    def exercise(self, key, hints=()):
        return lambda function: self._functions.__setitem__(key, function)

    def check(self, key, *answers) -> None:
        pass

    def check_hidden(self, key, *answers):
        return lambda function: self._run_hidden(function, answers)


def judge_one() -> dict:
    """The verdicts on the exercise in ORDER: {"state", "message", "hidden": [...],
    "replaced"}."""
    import cnnviz_utils as cv

    ours: dict = {"__name__": "exercises_of_the_grader"}
    exec(compile(ORDER["exercises"], "<grader>", "exec"), ours)
    judge = ours["judge"]
    key, expressions = ORDER["key"], ORDER["answers"]
    now = get_ipython().user_ns
    answers, then = kept().get(key) or ([value_of(one) for one in expressions], now)
    result: dict = {"replaced": replaced(ours), "hidden": []}
    if any(value is missing for value in answers):
        said = f"There is no {' and no '.join(expressions)} in the notebook."
        return result | {"state": "unanswered", "message": said}
    if own := next(filter(None, map(pretends, answers)), ""):
        said = f"The answer is an object that compares itself ({own})."
        return result | {"state": "wrong", "message": said}
    functions: dict = {}
    run = lambda function, given: result["hidden"].append(judge(function, given))
    names = dict(then) | {"cv": Shim(cv, functions, run)}
    plain = zip(expressions, answers, strict=False)
    names |= {name: value for name, value in plain if name.isidentifier()}
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            for source in ORDER["definitions"]:
                exec(compile(source, "<check>", "exec"), names)
            state, message = judge(functions[key], answers)
        except Exception as error:
            state, message = "wrong", f"The check could not run: {error!r}"
        if state == "right":
            for source in ORDER["hidden"]:
                try:
                    exec(compile(source, "<hidden>", "exec"), names)
                except Exception as error:
                    result["hidden"].append(("wrong", f"It could not run: {error!r}"))
    return result | {"state": state, "message": message}


def show(result: dict) -> None:
    """Send a result to the grader."""
    get_ipython().display_pub.publish({ORDER["mime"]: result})
