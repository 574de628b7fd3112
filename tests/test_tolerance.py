"""The comparison of notebook outputs lets float noise pass and nothing else."""

import pytest
from tolerance import close, same_shape


@pytest.mark.parametrize(("a", "b"), [
    ("loss 0.50001", "loss 0.50002"), ("[1.0, 2.00001]", "[1.0, 2.0]"), ("1e-9 and 3", "2e-9 and 3"),
    ("<b id='T_ab12f_row'>0.3</b>", "<b id='T_99fe0_row'>0.3</b>"), ("a  0.1", "a 0.1"),
    ("<Styler at 0x7f0be5d1>", "<Styler at 0x7e99c3a0>"),
])
def test_noise_passes(a, b):
    assert close(a, b)


@pytest.mark.parametrize(("a", "b"), [
    ("loss 0.50", "loss 0.51"), ("27 classes", "28 classes"), ("holds", "does not hold"), ("0.1 0.2", "0.1"),
    ("accuracy 0.5", "loss 0.5"), ("v1.2", "v1.3"),
])
def test_changes_fail(a, b):
    assert not close(a, b)


def test_trained_outputs_are_compared_by_shape():
    assert same_shape("71.2 %\n", "69.8 %\n") and not same_shape("a\nb\n", "a\n")
