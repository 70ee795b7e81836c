"""Attention by products against torch's, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from hp_core.training.cpu_attention import WrittenOutAttention


def inputs(queries: int, keys: int) -> list[Tensor]:
    """Query, key and value (3, 2, n, 8), seen through a transpose as attention layers make them."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, count, 2, 8, generator=generator).transpose(1, 2) for count in (queries, keys, keys)]


def answers(tensors: list[Tensor], *, written_out: bool) -> list[Tensor]:
    """The result and the gradients of its product with a fixed tensor."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    if written_out:
        with WrittenOutAttention():
            result = scaled_dot_product_attention(*leaves)
    else:
        result = scaled_dot_product_attention(*leaves)
    toward = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
    result.backward(toward.to(result.dtype))
    return [result.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@pytest.mark.parametrize(("queries", "keys"), [(1024, 1024), (64, 5), (7, 300), (1, 3)])
def test_values_and_gradients_are_those_of_exact_attention(queries: int, keys: int) -> None:
    tensors = inputs(queries, keys)
    exact = answers(tensors, written_out=False)
    got = answers([tensor.bfloat16() for tensor in tensors], written_out=True)
    assert len(got) == len(exact) == 4
    for one, other in zip(got, exact, strict=True):
        assert one.dtype == torch.bfloat16
        assert float((one.float() - other).norm()) <= 0.02 * float(other.norm())


def test_it_takes_part_in_autocast() -> None:
    tensors = inputs(9, 4)
    with torch.autocast("cpu", torch.bfloat16):
        got = answers(tensors, written_out=True)
    assert got[0].dtype == torch.bfloat16
    for one, other in zip(got, answers(tensors, written_out=False), strict=True):
        assert float((one.float() - other).norm()) <= 0.02 * float(other.norm())


@pytest.mark.parametrize("extra", [{"is_causal": True}, {"attn_mask": torch.tril(torch.ones(6, 6, dtype=torch.bool))}])
def test_what_it_cannot_do_is_left_to_torch(extra: dict[str, object]) -> None:
    query, key, value = inputs(6, 6)
    expected = scaled_dot_product_attention(query, key, value, **extra)  # type: ignore[arg-type]
    with WrittenOutAttention():
        assert torch.equal(scaled_dot_product_attention(query, key, value, **extra), expected)  # type: ignore[arg-type]
