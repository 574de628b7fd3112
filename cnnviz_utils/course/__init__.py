"""The course around the lessons: running them, what they record, their pages."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "convert": ["convert_files", "convert_folder"],
        "exercises": ["check", "check_hidden", "exercise"],
        "index": ["write_index"],
        "predictions": ["answer_prediction", "predict_first"],
        "records": ["Claim", "claim", "record", "say"],
        "report": ["render", "write_page"],
    },
)
