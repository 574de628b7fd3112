"""What one run of a table is: its training, and the key under which its record is found
again."""

import hashlib
import inspect
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from cnnviz_utils.data.sets import Splits
from cnnviz_utils.models import freezing
from cnnviz_utils.models.build import build_model, count_parameters
from cnnviz_utils.models.freezing import freeze, unfreeze
from cnnviz_utils.sweep.plan import Row, training_config
from cnnviz_utils.training import recipes
from cnnviz_utils.training.evaluation import predict, top_k
from cnnviz_utils.training.loop import fit
from cnnviz_utils.training.recipes import borrowed
from cnnviz_utils.training.store import training_code, what_it_computes


def train_row(
    settings: dict,
    splits: Splits,
    seed: int,
    device: str,
    progress: Callable[[dict], None],
) -> dict:
    """Train and test one row: {"metrics": ..., "history": [one dict for each epoch]}.

    The test is made with the weights of the epoch that was best on validation. The loss
    is the mean over the last epoch's training images.
    """
    started = time.perf_counter()
    model = borrowed(
        settings["model"],
        len(splits.classes),
        settings["weights"],
        size=splits.size,
        seed=seed,
    )
    stages = (
        [settings | settings["first"], settings] if settings["first"] else [settings]
    )
    epochs = []
    for number, stage in enumerate(stages, start=1):
        unfreeze(model, [name for name, _ in model.named_children()])
        freeze(model, stage["freeze"])
        tell = lambda row, stage=stage: progress(row | {"of": stage["epochs"]})
        history = fit(
            model,
            splits.train,
            splits.valid,
            training_config(stage, seed),
            device,
            tell,
        )
        epochs += [{"stage": number, **row} for row in history.rows]
    logits, labels = predict(model, splits.test, device=device)
    last, best = history.rows[-1], history.rows[history.best_epoch - 1]
    metrics = {
        "last_loss": last["train_loss"],
        "val": best["valid_accuracy"],
        "test": top_k(logits, labels),
        "test_top5": top_k(logits, labels, 5),
        "best_epoch": best["epoch"],
        "seconds": time.perf_counter() - started,
        "numbers": count_parameters(model),
        "numbers_learning": sum(
            p.numel() for p in model.parameters() if p.requires_grad
        ),
    }
    return {"metrics": metrics, "history": epochs}


def row_key(row: Row, splits: Splits) -> str:
    """12 hex digits that change with the images, the row's settings, the code that
    builds and trains, and torch's version; not with its name, the seed, or the
    machine."""
    weights = row.settings["weights"]
    content = (
        hashlib.sha256(Path(weights).read_bytes()).hexdigest()
        if weights and Path(weights).is_file()
        else weights
    )
    code = [
        *training_code(),
        *(inspect.getsource(part) for part in (train_row, freezing, recipes)),
    ]
    with torch.device("meta"):
        model = build_model(row.settings["model"], 2, size=splits.size)
    text = json.dumps(
        [
            splits.fingerprint,
            row.settings | {"weights": content},
            code,
            [repr(model), *what_it_computes(model)],
            torch.__version__,
        ],
        sort_keys=True,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:12]
