"""The course around the lessons: running them, what they record, their pages."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "records": ["Claim", "claim", "record", "say"],
    },
)
