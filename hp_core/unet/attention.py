"""Decoupled attention to appearance and motion tokens inside SVD's cross-attentions (paper 3.2, 3.3).

`out = to_out(attend(q, appearance) + attend(q, motion))`, the same in spatial and temporal blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from diffusers.models.attention_processor import Attention
from einops import rearrange
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from hp_core.checks import check_choice
from hp_core.config import KERNELS

KeysValues = tuple[Tensor, Tensor]  # each (batch, tokens, channels), projected for one layer


class ProjectedTokens(NamedTuple):
    """Tokens already projected to keys and values, one pair for each cross-attention in order."""

    layers: Sequence[KeysValues]


class TokenPair(NamedTuple):
    """What one cross-attention attends to; None stands for tokens of zero, whose attention is exactly zero.

    A token set with a smaller batch than the queries is shared: `hidden` (batch * k, length, channels) is folded to
    (batch, k * length, channels), so keys and values that frames or positions share are projected once.
    """

    appearance: Tensor | ProjectedTokens | None
    motion: Tensor | None


class MotionAttnProcessor(nn.Module):
    """Attention processor that adds the motion tokens; its two projections carry the published names.

    Args:
        layer: position of this cross-attention among the UNet's, the index into `ProjectedTokens.layers`.
    """

    def __init__(self, *, cross_attention_dim: int, inner_dim: int, layer: int):
        super().__init__()
        self.layer = layer
        self.to_k_ip = nn.ModuleList([nn.Linear(cross_attention_dim, inner_dim, bias=False)])
        self.to_v_ip = nn.ModuleList([nn.Linear(cross_attention_dim, inner_dim, bias=False)])

    def __call__(self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: TokenPair, attention_mask: None = None) -> Tensor:
        """hidden_states (n, length, channels) -> the same shape."""
        appearance, motion = encoder_hidden_states
        to_out, dropout = attn.to_out
        if appearance is None and motion is None:
            bias = to_out.bias.to(hidden_states)  # keys and values have none, so only this one is left
            return dropout(bias.expand(hidden_states.shape))
        query = attn.to_q(hidden_states)
        out: Tensor | None = None
        if isinstance(appearance, ProjectedTokens):
            out = attend(query, *appearance.layers[self.layer], heads=attn.heads)
        elif appearance is not None:
            out = attend(query, attn.to_k(appearance), attn.to_v(appearance), heads=attn.heads)
        if motion is not None:
            moved = attend(query, self.to_k_ip[0](motion), self.to_v_ip[0](motion), heads=attn.heads)
            out = moved if out is None else out + moved
        return dropout(to_out(out))


def attend(query: Tensor, key: Tensor, value: Tensor, *, heads: int) -> Tensor:
    """Multi-head attention of query (batch * k, length, channels) to key, value (batch, tokens, channels), shared by k."""
    rows = len(query)
    if len(key) != rows:
        query = query.reshape(len(key), -1, query.shape[-1])  # (batch, k * length, channels)
    q, k, v = (rearrange(x, "b t (h d) -> b h t d", h=heads) for x in (query, key, value))
    out = rearrange(F.scaled_dot_product_attention(q, k, v), "b h t d -> b t (h d)")
    return out.reshape(rows, -1, out.shape[-1])


@contextmanager
def attention_kernel(name: str) -> Iterator[None]:
    """Keep every attention in the block to one of torch's kernels (`KERNELS`).

    Raises:
        OptionError: an unknown name; torch itself says so where the kernel cannot run on the device.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    check_choice("attention", name, KERNELS)
    if name == "auto":
        yield
        return
    kernels = {"flash": SDPBackend.FLASH_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION, "math": SDPBackend.MATH}
    with sdpa_kernel(kernels[name]):
        yield


@torch.no_grad()
def project_tokens(cross_attentions: Sequence[Attention], tokens: Tensor) -> ProjectedTokens:
    """Keys and values of tokens (batch, tokens, channels) for each of ``cross_attentions``, wherever their weights lie."""
    return ProjectedTokens([(_beside(attn.to_k, tokens), _beside(attn.to_v, tokens)) for attn in cross_attentions])


def _beside(layer: nn.Module, x: Tensor) -> Tensor:
    """``layer`` of ``x``; weights that lie on another device are brought over for it, as outside a forward pass nobody else does."""
    weights = dict(layer.named_parameters())
    if all(weight.device == x.device for weight in weights.values()):
        return layer(x)
    return functional_call(layer, {name: weight.to(x.device) for name, weight in weights.items()}, (x,))
