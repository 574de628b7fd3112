"""A course of sixty: lessons handed out without solutions, handed in, graded."""

import lazy_loader

from cnnviz_utils.base import quick  # noqa: F401

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "tasks": ["Task", "read_tasks", "rubric"],
        "student": ["student_copy", "write_student_copies"],
    },
)
