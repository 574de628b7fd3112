"""Networks by others, small and with random weights, to try methods on."""

import timm
import torch
import torchvision
from torch import nn

# with no activation but ReLU; torchvision's, and timm's under "timm/NAME"
RELU_NETWORKS = [
    "alexnet", "vgg11_bn", "resnet18", "resnext50_32x4d", "wide_resnet50_2", "densenet121", "googlenet", "inception_v3",
    "squeezenet1_0", "squeezenet1_1", "shufflenet_v2_x0_5", "shufflenet_v2_x1_5", "mnasnet0_5", "mnasnet1_0", "regnet_x_400mf",
    "vgg13", "resnet34", "resnet50", "densenet169", "regnet_x_800mf",
    *(f"timm/{name}" for name in [
        "resnet10t", "resnet14t", "resnet26d", "resnetv2_50", "resnetblur18", "res2net50_26w_4s", "res2next50",
        "hrnet_w18_small", "dla34", "dla46_c", "dla60_res2net", "vovnet39a", "selecsls42", "xception41", "xception65", "dpn68",
        "repvgg_a0", "gernet_s", "regnetx_002", "mobileone_s0", "densenetblur121d", "legacy_xception",
        "inception_v4",
    ]),
]  # fmt: skip
# with others, gates, attention, norms of all kinds
OTHERS = [
    "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_v2_s", "regnet_y_400mf", "convnext_tiny", "swin_t",
    "swin_v2_t", "maxvit_t",
    *(f"timm/{name}" for name in [
        "ghostnet_100", "ghostnetv2_100", "cspresnet50", "cspdarknet53", "tresnet_m", "nf_resnet26", "seresnet18", "resnest14d",
        "ecaresnet26t", "mobilevit_xxs", "edgenext_xx_small", "poolformer_s12", "inception_next_tiny", "fastvit_t8",
        "efficientformer_l1", "starnet_s1", "tinynet_e", "lcnet_035", "rexnet_100", "halonet26t", "botnet26t_256", "focalnet_tiny_srf",
        "convnextv2_atto", "coatnet_0_224", "davit_tiny", "levit_128s", "gcvit_xxtiny",
        "resnet33ts", "dpn48b", "resnext26ts", "hardcorenas_a", "tf_mixnet_s", "skresnet18", "cs3darknet_s",
    ]),
]  # fmt: skip


def build(name: str) -> nn.Module:
    """With random weights, statistics of its norms that are not 0 and 1, no weight all zero, in double, evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name.startswith("timm/"):
            model = timm.create_model(name.removeprefix("timm/"), num_classes=5)
        else:
            options = {"init_weights": False} if name.startswith(("googlenet", "inception", "vgg")) else {}
            model = getattr(torchvision.models, name)(weights=None, num_classes=5, **options)
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
                module.weight.data.uniform_(0.5, 2)
                module.bias.data.normal_(0, 0.1)
        for parameter in model.parameters():  # gates that are still shut
            if not parameter.any():
                parameter.data.normal_(0, 0.1)
    return model.double().eval()


def size_of(model: nn.Module, name: str) -> int:
    """Pixels a side: 96, or what the network insists on."""
    if name.startswith("timm/") and (size := model.default_cfg.get("input_size")) and model.default_cfg.get("fixed_input_size"):
        return size[-1]
    return {"maxvit_t": 224, "timm/halonet26t": 256, "timm/botnet26t_256": 256}.get(name, 96)


def deep_layer(model: nn.Module, images: torch.Tensor, reduced: int = 8) -> str:
    """The last layer whose maps (N, C, h, w) are the images, reduced no more than this."""
    found, handles = [], []
    side = -(-images.shape[-1] // reduced)

    def note(name, output):
        shape = getattr(output, "shape", ())
        if len(shape) == 4 and shape[0] == len(images) and shape[-1] == shape[-2] and side - 2 <= shape[-1] < images.shape[-1]:
            found.append(name)

    for name, module in model.named_modules():
        if name:
            handles.append(module.register_forward_hook(lambda _m, _i, output, name=name: note(name, output)))
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    return found[-1]
