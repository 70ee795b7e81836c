"""Attention for training in bfloat16 on a CPU, as three products and a softmax.

torch's fused attention saves memory there, not time: forwards it is a little faster over thousands of keys, backwards it takes twice as
long over a thousand and ten times as long over the few tokens of a cross-attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

_IN_CACHE = 2**19  # scores at once, that softmax and products find them where they were left


class WrittenOutAttention(TorchFunctionMode):
    """While it is entered, `scaled_dot_product_attention` without mask, dropout and grouped heads computes in bfloat16 by products.

    The weights are kept for the way back, in bfloat16: (batch, heads, queries, keys) of them.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        asked = any(isinstance(value, Tensor) or value for value in kwargs.values())
        if func is not scaled_dot_product_attention or len(args) != 3 or asked:
            return func(*args, **kwargs)
        query, key, value = args
        batch, heads, _, depth = query.shape
        flat = (x.reshape(batch * heads, x.shape[2], x.shape[3]) for x in (query, key, value))
        return _Attention.apply(*flat, depth**-0.5).view(batch, heads, query.shape[2], value.shape[3])  # type: ignore[no-untyped-call]


class _Attention(torch.autograd.Function):
    """query (n, l, d), key and value (n, m, d) -> (n, l, d)."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        weights = query.new_empty(query.shape[0], query.shape[1], key.shape[1])
        out, ctx.scale = torch.empty_like(query), scale
        for part in _parts(weights):
            torch.bmm(query[part] * scale, key[part].transpose(1, 2), out=weights[part])
            torch.softmax(weights[part], -1, out=weights[part])
            torch.bmm(weights[part], value[part], out=out[part])
        ctx.save_for_backward(query, key, value, weights, out)
        return out

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, weights, out = ctx.saved_tensors
        to_query, to_key, to_value = (torch.empty_like(x) for x in (query, key, value))
        mean = (grad * out).sum(-1, keepdim=True)  # of the weights' gradients, weighted: what softmax takes off them
        for part in _parts(weights):
            torch.bmm(weights[part].transpose(1, 2), grad[part], out=to_value[part])
            scores = torch.bmm(grad[part], value[part].transpose(1, 2)).sub_(mean[part]).mul_(weights[part]).mul_(ctx.scale)
            torch.bmm(scores, key[part], out=to_query[part])
            torch.bmm(scores.transpose(1, 2), query[part], out=to_key[part])
        return to_query, to_key, to_value, None


def _parts(weights: Tensor) -> list[slice]:
    """Rows of ``weights`` (n, l, m) that fit into `_IN_CACHE` together, at least one at a time."""
    rows = max(_IN_CACHE // (weights.shape[1] * weights.shape[2]), 1)
    return [slice(start, start + rows) for start in range(0, len(weights), rows)]
