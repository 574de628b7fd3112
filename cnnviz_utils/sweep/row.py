"""What one run of a table is: its data, its training, and the key under which its record is found again."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from cnnviz_utils.data.loaders import load_data
from cnnviz_utils.data.sets import Splits
from cnnviz_utils.evaluation import predict, top_k
from cnnviz_utils.lessons import UsageError
from cnnviz_utils.models import build_model, count_parameters, freeze, unfreeze
from cnnviz_utils.sweep.plan import Row, training_config
from cnnviz_utils.training import fit


def train_row(settings: dict, splits: Splits, seed: int, device: str, progress: Callable[[dict], None]) -> dict:
    """One row of the table: {"metrics": ..., "history": a dict an epoch}. Tested with the weights of the epoch that was
    best on validation. The loss is the mean over the last epoch's training images."""
    started = time.perf_counter()
    model = build_model(settings["model"], len(splits.classes), settings["weights"], size=splits.size, seed=seed)
    first = [settings | settings["first"]] if settings["first"] else []
    rows = []
    for stage in [*first, settings]:
        unfreeze(model, [name for name, _ in model.named_children()])
        freeze(model, stage["freeze"])
        rows.append(fit(model, splits.train, splits.valid, training_config(stage, seed), device, progress))
    logits, labels = predict(model, splits.test, device=device)
    best = rows[-1].rows[rows[-1].best_epoch - 1]
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    metrics = {"last_loss": rows[-1].rows[-1]["train_loss"], "val": best["valid_accuracy"], "test": top_k(logits, labels),
               "test_top5": top_k(logits, labels, min(5, len(splits.classes))), "best_epoch": best["epoch"],
               "seconds": time.perf_counter() - started, "numbers_learning": learning, "numbers": count_parameters(model)}
    return {"metrics": metrics, "history": [{"stage": i, **row} for i, h in enumerate(rows, start=1) for row in h.rows]}


def load_splits(data: dict, load=load_data) -> Splits:
    """The data of a sweep; with `per_class`, at most so many training images a class, drawn by the split's seed."""
    try:
        splits = load(**{k: v for k, v in data.items() if k != "per_class"})
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None
    if (most := data.get("per_class")) is None:
        return splits
    if most < 1:
        raise UsageError(f"per_class is at least 1, not {most}")
    labels = splits.train.labels.numpy()
    order = np.random.default_rng(data["seed"]).permutation(len(labels))
    chosen = [order[labels[order] == c][:most] for c in range(len(splits.classes))]
    return replace(splits, train=splits.train.subset(np.sort(np.concatenate(chosen))))


@lru_cache(maxsize=1)
def cached_splits(data: str, load) -> Splits:
    """`load_splits`, once a process."""
    return load_splits(json.loads(data), load)


def row_key(row: Row, splits: Splits) -> str:
    """12 hex digits that change with the images and the row's settings; not with its name, the seed, or the machine."""
    weights = row.settings["weights"]
    content = hashlib.sha256(Path(weights).read_bytes()).hexdigest() if weights and Path(weights).is_file() else weights
    text = json.dumps([splits.fingerprint, row.settings | {"weights": content}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
