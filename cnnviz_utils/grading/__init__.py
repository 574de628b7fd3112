"""A course of sixty: lessons handed out without solutions, handed in, graded."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "tasks": ["Task", "read_tasks", "rubric"],
        "student": ["student_copy", "write_student_copies"],
    },
)
