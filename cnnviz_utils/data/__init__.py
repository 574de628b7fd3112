"""Pictures: drawn by the package or read from files, split, audited, augmented, cut
into batches."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "augment": ["Augment", "fixed_views"],
        "draws": ["Overlap", "audit_positions", "overlap_of_draws"],
        "loaders": ["batches", "class_weights", "load_data"],
        # its function `photos` is cv.photos: here that is the name of the folder
        "photos.bundled": ["PHOTOS", "Photo"],
        "photos.folders": ["load_images"],
        "photos.layouts": ["describe"],
        "photos.reading": ["open_image"],
        "sets": ["ImageSet", "Splits"],
        "splits": [
            "Audit",
            "audit",
            "buggy_split",
            "image_hashes",
            "list_split",
            "near_duplicates",
            "normalisation",
            "stratified_split",
        ],
    },
)
