"""Tables of runs that come with the course, run for a moment."""

import json

from cnnviz_utils.sweep.run import run_sweep


def test_the_table_for_a_gpu_can_be_run(tmp_path):
    """On a few drawn images, one epoch a row: the rows with most in them."""
    name, rows = "caltech101_gpu", ["weights, Base", "last blocks", "three rates"]
    small = {"data": "menagerie", "size": 32, "train": 1, "valid": 1, "test": 1,
             "batch_size": 27, "epochs_share": 0.01, "amp": "off"}
    outcome = run_sweep(name, tmp_path, small, [0], rows, "cpu")
    assert not outcome.failed and len(outcome.made) == 3
    found = json.loads((tmp_path / "summary.json").read_text())["rows"]
    learning = [run["numbers_learning"] / run["numbers"] for row in found for run in row["runs"]]
    assert learning[0] == learning[2] == 1 > learning[1] > 0.5
