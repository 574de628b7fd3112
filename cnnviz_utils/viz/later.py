"""Checks of numbers that lie on a GPU: asked once, after everything has been handed to
it, so that neither waits for the other in between."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

# what is to be asked at the end: whether something is wrong, and what is raised then
_asked: ContextVar[list[tuple[Tensor, Callable[[], Exception]]] | None] = ContextVar(
    "asked", default=None
)


def waits(tensor: Tensor) -> bool:
    """Whether to look at the numbers means to wait for them."""
    return tensor.device.type != "cpu"


@contextmanager
def deferring() -> Iterator[None]:
    """Inside, `refuse` may keep its questions for the end of the outermost block. If
    the block ends with another error they are not asked."""
    if _asked.get() is not None:
        yield
        return
    questions: list[tuple[Tensor, Callable[[], Exception]]] = []
    token = _asked.set(questions)
    try:
        yield
    finally:
        _asked.reset(token)
    for wrong, error in questions:
        if wrong:
            raise error()


def refuse(wrong: Tensor, error: Callable[[], Exception]) -> None:
    """Raises the error if `wrong`, one truth value, is true: at once on the CPU, at the
    end of the block around it (`deferring`) on a GPU. What is computed until then must
    stand wrong numbers."""
    questions = _asked.get()
    if questions is None or not waits(wrong):
        if wrong:
            raise error()
    else:
        questions.append((wrong, error))
