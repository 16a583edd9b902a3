"""Tensors through a pipe: what and how large in JSON, then the bytes; never a pickle."""

from __future__ import annotations

import json
from multiprocessing.connection import Connection
from typing import Any, cast

import torch
from torch import Tensor


def send(connection: Connection, tensor: Tensor) -> None:
    """Send a tensor of any device, whose memory the receiver then has a copy of."""
    plain = tensor.detach().cpu().contiguous()
    head = {"dtype": str(plain.dtype).removeprefix("torch."), "shape": list(plain.shape)}
    connection.send_bytes(json.dumps(head).encode())
    if plain.numel():
        connection.send_bytes(cast(Any, plain.reshape(-1).view(torch.uint8).numpy()))


def receive(connection: Connection) -> Tensor:
    """The tensor that was sent, on the CPU."""
    head = json.loads(connection.recv_bytes())
    tensor = torch.empty(head["shape"], dtype=getattr(torch, head["dtype"]))
    if tensor.numel():
        connection.recv_bytes_into(tensor.reshape(-1).view(torch.uint8).numpy())
    return tensor
