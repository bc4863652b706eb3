"""Several processes that train one model, started by torch's own launcher (torchrun)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

T = TypeVar("T")


def asked() -> bool:
    """Did a launcher start more than this process?"""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def together(device: str) -> Iterator[None]:
    """Join the other processes, where there are any."""
    if not asked():
        yield
        return
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield
        dist.barrier()
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process; 0 is the first and writes."""
    return dist.get_rank() if _joined() else 0


def size() -> int:
    return dist.get_world_size() if _joined() else 1


def shared(value: T) -> T:
    """The first process's ``value``, for all of them."""
    if not _joined():
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box, src=0)
    out: T = box[0]
    return out


def averaging(net: nn.Module, device: str) -> nn.Module:
    """``net`` with its gradients averaged over all processes."""
    if not _joined():
        return net
    return nn.parallel.DistributedDataParallel(net, [torch.cuda.current_device()] if device == "cuda" else None)


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
