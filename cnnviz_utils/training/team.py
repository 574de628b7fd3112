"""Several processes that train one network together, as `torchrun` starts them.

Each has a whole copy of the network and sees its share of every batch; gradients are
averaged, so that all copies make the same step. A process of its own is a team of one.
"""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Team:
    """This process's place among those that train together: `rank` of `size`."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes and reports."""
        return self.rank == 0

    def part(self, chosen: Tensor) -> Tensor:
        """This process's share of what all see together: every size-th, from its rank
        on."""
        return chosen if self.size == 1 else chosen[self.rank :: self.size]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, the same bits in each."""
        if self.size > 1:
            dist.all_reduce(values := values.clone())
        return values

    def joined(self, rows: Tensor, count: int) -> Tensor:
        """The rows (count, ...) of which each process has its `part`, in order."""
        if self.size == 1:
            return rows
        length = -(-count // self.size)
        padded = rows.new_zeros(length, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, 1).flatten(0, 1)[:count]

    def told(self, value: object = None) -> object:
        """What the leading process says, in each of them."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def place(self, device: torch.device) -> torch.device:
        """The GPU of this process, where GPUs are meant."""
        if self.size == 1 or device.type != "cuda" or device.index is not None:
            return device
        own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", self.rank)))
        torch.cuda.set_device(own)
        return own

    def network(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The network with its gradients averaged over the team in each backward
        pass. Every process begins with the leading one's numbers."""
        if self.size == 1:
            return model
        here = [device] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(
            model, device_ids=here, broadcast_buffers=False
        )

    def average_statistics(self, model: nn.Module) -> None:
        """BatchNorm's running statistics become the mean over the team: each process
        has seen other images."""
        if self.size == 1:
            return
        for module in model.modules():
            if isinstance(module, NORMS) and module.running_mean is not None:
                assert module.running_var is not None
                for values in (module.running_mean, module.running_var):
                    values.copy_(self.sum(values) / self.size)


def current_team() -> Team:
    """The team that `torchrun` started, joined if that has not been done yet; else a
    team of one."""
    if not dist.is_available():
        return Team()
    if not dist.is_initialized():
        if not dist.is_torchelastic_launched():
            return Team()
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(_leave)
    return Team(dist.get_rank(), dist.get_world_size())


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def synced_norms(model: nn.Module, team: Team, wanted: bool) -> Iterator[None]:
    """Inside, BatchNorm in training takes mean and variance over the whole team's
    images, as one process with the whole batch would. Frozen ones stay as they are."""
    changed = []
    if wanted and team.size > 1:
        for module in model.modules():
            if isinstance(module, NORMS) and not {"train", "forward"} & set(
                vars(module)
            ):
                module.__dict__["forward"] = MethodType(_synced, module)
                changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.__dict__["forward"]


def _synced(self: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """BatchNorm's forward pass with the team's statistics (torch's SyncBatchNorm is for
    GPUs only). Two sums, the second about the mean: E[x^2] - E[x]^2 would cancel."""
    if not self.training:
        return type(self).forward(self, x)
    axes = [0, *range(2, x.ndim)]
    shape = [1, -1] + [1] * (x.ndim - 2)
    values = x.float()
    count = values.new_tensor([values.numel() / x.shape[1]])
    total = all_reduce(torch.cat([values.sum(axes), count]))
    n, mean = total[-1].detach(), total[:-1] / total[-1].detach()
    centred = values - mean.view(shape)
    var = all_reduce(centred.square().sum(axes)) / n
    found = centred * (var + self.eps).rsqrt().view(shape)
    if self.weight is not None:
        found = torch.addcmul(self.bias.view(shape), found, self.weight.view(shape))
    if self.running_mean is not None and self.running_var is not None:
        with torch.no_grad():
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            share = (
                1 / float(self.num_batches_tracked)
                if self.momentum is None
                else self.momentum
            )
            self.running_mean.lerp_(mean.detach(), share)
            self.running_var.lerp_(var.detach() * (n / (n - 1)), share)
    return found.to(x.dtype)
