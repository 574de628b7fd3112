"""Back to the pixels: saliency, guided backpropagation and deconvnet, which differ in
one line.

All three go back through a network the way gradients do. Only a ReLU lets through
something else, and that is the rule. Through max-pooling all three use the recorded
places of the maxima (Zeiler and Fergus's switches); through BatchNorm they take the
fixed scaling of test time, a convention, because none of the three papers had it.
"""

import sys
import warnings
from contextlib import ExitStack
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from cnnviz_utils.base.hooks import capture, get_layer
from cnnviz_utils.viz.bends import Bends
from cnnviz_utils.viz.layers import (
    Layer,
    Targets,
    answer,
    check_images,
    choose_targets,
    find_layer,
    looking,
    scaled_gradient,
)
from cnnviz_utils.viz.located import way_of

# what a ReLU passes down; gradient: what comes from above, positive: where its input
# was positive
RULES = {
    "saliency": lambda gradient, positive: gradient * positive,
    "deconvnet": lambda gradient, positive: gradient.clamp(min=0),
    "guided": lambda gradient, positive: gradient.clamp(min=0) * positive,
}

# what is not linear in a network besides ReLUs, by the way of the pixels through it
BENT: WeakKeyDictionary[nn.Module, dict[tuple, list[str]]] = WeakKeyDictionary()

OUT_OF_PLACE = {F.relu, torch.relu, Tensor.relu}
IN_PLACE = {F.relu_, torch.relu_, Tensor.relu_}


class RuledReLU(Function):
    """Forward a ReLU, backward the rule. Keeps one bit an activation (a byte, as
    stored), not the activation."""

    @staticmethod
    def forward(ctx, x: Tensor, rule: str) -> Tensor:
        ctx.rule = rule
        ctx.save_for_backward(x > 0)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return RULES[ctx.rule](gradient, *ctx.saved_tensors), None


class ReLUsObey(TorchFunctionMode):
    """`with ReLUsObey("guided"):` every ReLU goes backwards by the rule, whether it is
    an `nn.ReLU`, one module used twice, in-place, or an `F.relu` written into `forward`
    (which tools that replace modules cannot see).

    Nothing in the model is changed: PyTorch shows each of its functions to the mode
    before it runs it. Compiled parts (torch.compile) run uncompiled meanwhile. What the
    pixels go through besides ReLUs is watched as well (`viz.bends`).
    """

    def __init__(
        self, rule: str, pixels: Tensor, until: nn.Module, model: nn.Module
    ) -> None:
        """until: the last module of interest: what comes behind it is not reported.
        What the pixels go through in this model is watched once and then known."""
        super().__init__()
        if rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, not {rule!r}")
        self.rule, self.relus, self.bends = rule, 0, Bends(pixels)
        self.until, self.contexts = until, ExitStack()
        self.report: tuple[int, list[str]] | None = None
        self.key = (id(until), *way_of(model, pixels))
        self.known = BENT.setdefault(model, {})

    def __enter__(self) -> "ReLUsObey":
        if "torch._dynamo" in sys.modules:
            # a compiled function shows none of its steps
            self.contexts.enter_context(torch.compiler.set_stance("force_eager"))
        handle = self.until.register_forward_hook(self._take_stock)
        self.contexts.callback(handle.remove)
        if self.rule != "saliency" and self.key not in self.known:
            self.contexts.enter_context(self.bends)
        return super().__enter__()

    def __exit__(self, *error) -> None:
        super().__exit__(*error)
        self.contexts.close()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in OUT_OF_PLACE or function in IN_PLACE:
            self.relus += 1
            x = args[0] if args else kwargs["input"]
            self.bends.ruled = True
            try:
                result = RuledReLU.apply(x, self.rule)
            finally:
                self.bends.ruled = False
            in_place = (
                function in IN_PLACE
                or kwargs.get("inplace", False)
                or (len(args) > 1 and args[1])
            )
            return x.copy_(result) if in_place else result
        self.bends.called = getattr(function, "__name__", None)
        try:
            return function(*args, **kwargs)
        finally:
            self.bends.called = None

    def _take_stock(self, *_hooked: object) -> None:
        names = self.known.get(self.key)
        if names is None:
            names = sorted(self.bends.names)
            if self.rule != "saliency":
                self.known[self.key] = names
        self.report = self.relus, names

    def warn(self, model: nn.Module) -> None:
        """One sentence where the rule does not reach everything, because then its name
        promises too much."""
        relus, others = self.report or (self.relus, sorted(self.bends.names))
        if self.rule == "saliency" or (relus and not others):
            return
        keep = "keeps its" if len(others) == 1 else "keep their"
        what = f"{', '.join(others)} {keep} ordinary gradient"
        what = what if others else "no ReLU was seen"
        warnings.warn(
            f"rule {self.rule!r} is for ReLUs: in {type(model).__name__}, {what}",
            stacklevel=3,
        )


def input_gradient(
    model: nn.Module, images: Tensor, targets: Targets = None, rule: str = "saliency"
) -> Tensor:
    """The gradient of one logit an image for its pixels, with a rule of ReLU: saliency
    | guided | deconvnet.

    images (N, 3, H, W) in [0, 1] -> (N, 3, H, W) float32, signed, not normalised;
    targets: a class, one an image, or None for the predicted one. `pixel_maps` makes
    heat maps of it.

    Warns of every step on the way that is not linear and that the rule is not for: it
    keeps its ordinary gradient. Max-pooling is no such step: its maxima are recorded.

    Raises:
        ValueError: unknown rule, or images or targets wrong.

    Simonyan et al. 2014, Deep inside convolutional networks (saliency); Springenberg et
    al. 2015, Striving for simplicity (guided backpropagation); Zeiler and Fergus 2014
    (deconvnet; their pictures: `channel_gradient`).
    """
    with looking(model):
        pixels = check_images(images, model).detach().requires_grad_()
        with torch.enable_grad(), ReLUsObey(rule, pixels, model, model) as mode:
            # a copy: the first layer may work in place
            logits, chosen = answer(model, pixels.clone(), targets)
        mode.warn(model)
        start = torch.zeros_like(logits).scatter(1, chosen[:, None], 1)
        gradient = scaled_gradient(logits, start, pixels)
        if gradient is None:
            raise ValueError("the logits do not depend on the pixels")
        return gradient


def channel_gradient(
    model: nn.Module,
    images: Tensor,
    layer: Layer = None,
    channels: Targets = None,
    rule: str = "deconvnet",
) -> Tensor:
    """The strongest activation of one channel of a layer in each image, sent back to
    the pixels with a rule of ReLU.

    images (N, 3, H, W) -> (N, 3, H, W) float32. channels: one, one an image, or None
    for each image's strongest. With rule "deconvnet" this is Zeiler and Fergus's
    picture, equal to the explicit `deconvnet`; with the others it is the gradient times
    the activation's value.
    """
    with looking(model):
        pixels = check_images(images, model).detach().requires_grad_()
        name = find_layer(model, layer, images)
        with (
            torch.enable_grad(),
            capture(model, [name]) as maps,
            ReLUsObey(rule, pixels, get_layer(model, name), model) as mode,
        ):
            model(pixels.clone())
        if name not in maps:
            raise ValueError(f"layer {name!r} does not run in this forward pass")
        mode.warn(model)
        strongest = keep_strongest(maps[name].detach(), channels)
        gradient = scaled_gradient(maps[name], strongest, pixels)
        if gradient is None:
            raise ValueError(f"layer {name!r} does not depend on the pixels")
        return gradient


def keep_strongest(maps: Tensor, channels: Targets = None) -> Tensor:
    """Zero everywhere but at the strongest activation of one channel in each image. (N,
    C, ...) -> (N, C, ...).

    channels: one, one an image, or None for the channel with the largest activation. A
    channel that is silent (all zero) stays all zero: there is nothing to show.

    Raises:
        ValueError: no such channel.
    """
    flat = maps.flatten(2) if maps.ndim > 2 else maps[:, :, None]
    chosen = choose_targets(flat.amax(2), channels)
    images = torch.arange(len(flat), device=maps.device)
    places = flat[images, chosen].argmax(1)
    kept = torch.zeros_like(flat)
    kept[images, chosen, places] = flat[images, chosen, places]
    return kept.view_as(maps)


def pixel_maps(gradients: Tensor) -> Tensor:
    """A heat map of a picture of gradients: the largest magnitude over the colours. (N,
    3, H, W) -> (N, H, W). Simonyan et al. 2014, section 3.1."""
    return gradients.abs().amax(1)
