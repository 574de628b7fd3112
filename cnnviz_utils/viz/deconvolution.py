"""The deconvnet of Zeiler and Fergus (2014), written out: what in the image made this
activation so strong?

The network runs forward and each step is written down. Then one activation is sent down
the same steps again: pooling is undone with the recorded switches, a ReLU is applied to
what comes down, a convolution is turned around with its own filters transposed, a
shortcut's sum sends the signal both ways. No gradient is computed here; that
`channel_gradient(rule="deconvnet")` gives the same numbers is a fact that a test holds,
not how this works.

Where the paper says nothing: biases are dropped, BatchNorm is its fixed scaling of test
time, transposed.
"""

from torch import Tensor, nn

from cnnviz_utils.viz.adjoints import transposed_conv, undo, unpool
from cnnviz_utils.viz.gradients import keep_strongest
from cnnviz_utils.viz.layers import Layer, Targets, looking
from cnnviz_utils.viz.tape import Recording, record_steps

__all__ = ["deconvnet", "descend", "transposed_conv", "unpool"]


def deconvnet(
    model: nn.Module, images: Tensor, layer: Layer = None, channels: Targets = None
) -> Tensor:
    """The strongest activation of one channel of a layer in each image, projected down
    to the pixels.

    images (N, 3, H, W) in [0, 1] -> (N, 3, H, W), signed, not normalised. channels:
    one, one an image, or None for each image's strongest. All other activations are set
    to zero first. A silent channel gives a zero picture.

    Raises: KeyError: no such layer. ValueError: no such channel, or a step on the way
        down that is not known how to undo.

    Zeiler and Fergus 2014, Visualizing and understanding convolutional networks.
    """
    recording = record_steps(model, images, layer)
    with looking(model):
        return descend(recording, keep_strongest(recording.maps, channels)).float()


def descend(recording: Recording, signal: Tensor) -> Tensor:
    """Send a signal of the recorded layer's shape down to the pixels. Where ways meet,
    the signals add up.

    Raises: ValueError: a step that is not known how to undo.
    """
    arrived = {recording.top: signal}
    for step in reversed(recording.steps):
        parts = [arrived.pop(id(output), None) for output in step.outputs]
        if all(part is None for part in parts):
            continue  # beside the way down
        for tensor, part in undo(step, parts):
            if id(tensor) in arrived:
                part = arrived[id(tensor)] + part
            arrived[id(tensor)] = part
    if id(recording.pixels) not in arrived:
        raise ValueError("this layer does not depend on the pixels")
    return arrived[id(recording.pixels)]
