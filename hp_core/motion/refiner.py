"""Intensity-aware motion refiner with the motion memory bank (paper 3.3, eq. 4).

Learned memories query the motion features of one frame; every norm is modulated by the intensity embedding E.
Where the released weights leave the paper, `MotionConfig` names both choices.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hp_core.config import MotionConfig


class AdaLN(nn.Module):
    """Layer norm without affine, scaled and shifted by the intensity embedding (AdaLN of eq. 4)."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (n, tokens, width), embedding (n, width) -> (n, tokens, width)."""
        shift, scale = self.linear(F.silu(embedding))[:, None].chunk(2, dim=-1)  # each (n, 1, width)
        return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class FeedForward(nn.Module):
    """Linear to four times the width, squared ReLU (released) or SiLU (paper C.2), Linear back."""

    def __init__(self, width: int, activation: str):
        super().__init__()
        self.squared_relu = activation == "relu2"
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.c_fc(x)
        return self.c_proj(F.relu(hidden).square() if self.squared_relu else F.silu(hidden))


class MemoryBlock(nn.Module):
    """Memories attend to the motion features (and, as released, to themselves), then a feed-forward; both residual."""

    def __init__(self, config: MotionConfig):
        super().__init__()
        self.include_memories = config.memory_attention == "memory+motion"
        self.ln_1 = AdaLN(config.width)
        self.ln_2 = AdaLN(config.width)
        self.attn = nn.MultiheadAttention(config.width, config.heads, batch_first=True)
        self.ln_ff = AdaLN(config.width)
        self.mlp = FeedForward(config.width, config.activation)

    def forward(self, memories: Tensor, motion: Tensor, embedding: Tensor) -> Tensor:
        """memories (n, 64, width), motion (n, 1, width), embedding (n, width) -> (n, 64, width)."""
        query = self.ln_1(memories, embedding)
        if self.include_memories:
            context = torch.cat([query, self.ln_2(motion, embedding)], dim=1)
        else:
            context = self.ln_2(motion + embedding[:, None], embedding)  # F_m + E_s, eq. 4
        memories = memories + self.attn(query, context, context, need_weights=False)[0]
        return memories + self.mlp(self.ln_ff(memories, embedding))


class MemoryBank(nn.Module):
    """The 64 learned memories and the blocks that fill them from one motion token; without memories, the token alone (Table 2)."""

    def __init__(self, config: MotionConfig):
        super().__init__()
        out = config.token_dim - 6  # rotation and translation take the last six channels
        self.latents = nn.Parameter(torch.randn(config.memories, config.width) / config.width**0.5) if config.memory_bank else None
        self.proj_in = nn.Linear(config.expression_dim, config.width)
        self.intensity_aware_linear = nn.Linear(config.width, config.width)
        self.perceiver_blocks = nn.ModuleList(MemoryBlock(config) for _ in range(config.depth))
        self.proj_out = nn.Sequential(nn.Linear(config.width, out), nn.LayerNorm(out))

    def forward(self, motion: Tensor, embedding: Tensor) -> Tensor:
        """motion (n, 512), embedding (n, width) -> (n, 64, 1018), or (n, 1, 1018) without memories."""
        x = self.proj_in(motion)[:, None]  # (n, 1, width)
        memories = (x if self.latents is None else self.latents) + self.intensity_aware_linear(F.silu(embedding))[:, None]  # (n, 64, width)
        for block in self.perceiver_blocks:
            memories = block(memories, x, embedding)
        return self.proj_out(memories)


class MotionRefiner(nn.Module):
    """Coarse motion features and intensity levels to refined motion features."""

    def __init__(self, config: MotionConfig):
        super().__init__()
        self.concat, self.width = config.intensity_embedding == "concat", config.width
        width = config.width // 2 if self.concat else config.width
        if config.intensity_aware:
            self.position_head = nn.Embedding(config.levels, width)
            self.position_exp = nn.Embedding(config.levels, width)
        self.intensity_aware = config.intensity_aware
        self.connector = MemoryBank(config)

    def forward(self, motion: Tensor, expression_level: Tensor, head_level: Tensor) -> Tensor:
        """motion (frames, 512), levels (frames,) long in 0..d-1 -> (frames, 64, 1018)."""
        if not self.intensity_aware:  # what is left of the modulation is a learned scale and shift, the same for every clip
            return self.connector(motion, motion.new_zeros(len(motion), self.width))
        expression, head = self.position_exp(expression_level), self.position_head(head_level)
        embedding = torch.cat([expression, head], dim=-1) if self.concat else head + expression
        return self.connector(motion, embedding)
