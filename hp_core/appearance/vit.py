"""DINOv2 vision transformer with register tokens (Oquab et al. 2023, Darcet et al. 2024), with IMAdapters in some blocks."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from hp_core.appearance.im_adapter import IMAdapter
from hp_core.config import AppearanceConfig

NORM_EPS = 1e-6
GRID_OFFSET = 0.1  # DINOv2 adds it to the target size of the positional interpolation, against rounding


class Attention(nn.Module):
    """Self-attention with one fused projection."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "n t (three h d) -> three n h t d", three=3, h=self.heads)
        return self.proj(rearrange(F.scaled_dot_product_attention(q, k, v), "n h t d -> n t (h d)"))


class Mlp(nn.Module):
    """Linear to four times the width, GELU, Linear back."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A learned factor per channel."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block; with an adapter, its output joins the MLP's before the layer scale."""

    def __init__(self, config: AppearanceConfig, *, adapted: bool):
        super().__init__()
        self.adapter_scale = config.adapter_scale
        self.norm1 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.attn = Attention(config.width, config.heads)
        self.ls1 = LayerScale(config.width)
        self.norm2 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.mlp = Mlp(config.width)
        self.ls2 = LayerScale(config.width)
        self.adapter = IMAdapter(config) if adapted else None

    def forward(self, x: Tensor, id_embedding: Tensor) -> Tensor:
        """x (n, tokens, width), id_embedding (n, 512) -> (n, tokens, width)."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        normed = self.norm2(x)
        hidden = self.mlp(normed)
        if self.adapter is not None:
            hidden = hidden + self.adapter_scale * self.adapter(normed, id_embedding)
        return x + self.ls2(hidden)


class PatchEmbed(nn.Module):
    """Non-overlapping patches to tokens."""

    def __init__(self, patch: int, width: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return rearrange(self.proj(x), "n c h w -> n (h w) c")


class AppearanceViT(nn.Module):
    """The fine-grained appearance extractor's backbone."""

    def __init__(self, config: AppearanceConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + config.grid**2, width) * 0.02)
        self.register_tokens = nn.Parameter(torch.zeros(1, config.registers, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of DINOv2's pre-training; kept so that names match
        self.patch_embed = PatchEmbed(config.patch, width)
        self.blocks = nn.ModuleList(Block(config, adapted=i in config.adapter_blocks) for i in range(config.depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)

    def positions(self) -> Tensor:
        """The positional embedding resized to the input's grid, (1, 1 + patches, width)."""
        side, grid = self.config.image_size // self.config.patch, self.config.grid
        if side == grid:
            return self.pos_embed
        cls_position, patch_positions = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        patch_positions = rearrange(patch_positions, "n (h w) c -> n c h w", h=grid)
        scale = (side + GRID_OFFSET) / grid
        resized = F.interpolate(patch_positions.float(), scale_factor=(scale, scale), mode="bicubic").to(patch_positions.dtype)
        return torch.cat([cls_position, rearrange(resized, "n c h w -> n (h w) c")], dim=1)

    def forward(self, image: Tensor, id_embedding: Tensor) -> Tensor:
        """image (n, 3, 224, 224) normalised by ImageNet's mean and deviation, id_embedding (n, 512), unit length or zero.

        Returns (n, 1 + registers + patches, width): class token, registers, patches, after the final norm.
        """
        patches = self.patch_embed(image)
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1) + self.positions()
        registers = self.register_tokens.expand(len(x), -1, -1)
        x = torch.cat([x[:, :1], registers, x[:, 1:]], dim=1)  # registers carry no position
        for block in self.blocks:
            x = block(x, id_embedding)
        return self.norm(x)


class TokenProjector(nn.Linear):
    """Mixes along the token axis: 261 tokens to 64."""

    def __init__(self, config: AppearanceConfig):
        super().__init__(config.input_tokens, config.tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, 261, width) -> (n, 64, width)."""
        return super().forward(tokens.mT).mT
