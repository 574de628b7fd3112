"""What all other rooms use: files, paths, devices, settings, and hooks that look into a
network and are removed again."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "device": ["pick_device", "shortest_seconds"],
        "hooks": ["capture", "evaluating", "get_layer"],
        "paths": ["cache_root", "data_root"],
        "settings": ["UsageError"],
    },
)
