"""IMAdapter: ID-aware multi-scale adapter beside the MLP of a DINOv2 block (paper 3.4, Figure 3, eq. 5)."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from hp_core.config import AppearanceConfig


class ConvBN(nn.Module):
    """Convolution, batch norm with running statistics, ReLU."""

    def __init__(self, channels: int, out: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2)
        self.bn = nn.BatchNorm2d(out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class CrossAttention(nn.Module):
    """Attention between image tokens and the ID token in a narrow width; which of them asks is `adapter_query`."""

    def __init__(self, config: AppearanceConfig):
        super().__init__()
        width = config.adapter_attention
        self.image_proj = nn.Linear(config.adapter_width, width)
        self.id_proj = nn.Linear(config.id_dim, width)
        self.multihead_attn = nn.MultiheadAttention(width, config.adapter_heads, batch_first=True)
        self.back_proj = nn.Linear(width, config.adapter_width)

    def id_as_key(self, id_token: Tensor) -> Tensor:
        """(n, 1, 512) -> (n, 1, 384): with a single key the softmax is one, so every patch receives the same vector."""
        value = self.id_proj(id_token)
        attention = self.multihead_attn
        rows = slice(2 * attention.embed_dim, None)  # in_proj stacks query, key, value
        value = F.linear(value, attention.in_proj_weight[rows], attention.in_proj_bias[rows])
        return self.back_proj(attention.out_proj(value))

    def id_as_query(self, id_token: Tensor, patches: Tensor) -> Tensor:
        """(n, 1, 512) and patches (n, patches, 384) -> (n, 1, 384), eq. 5."""
        context = self.image_proj(patches)
        return self.back_proj(self.multihead_attn(self.id_proj(id_token), context, context, need_weights=False)[0])


class IMAdapter(nn.Module):
    """Down-projection, parallel 1x1 / 3x3 / 5x5 convolutions over the patches, ID attention, up-projection."""

    def __init__(self, config: AppearanceConfig):
        super().__init__()
        width = config.adapter_width
        half, quarter, narrow = width // 2, width // 4, width // 16
        self.query = config.adapter_query
        self.special = 1 + config.registers  # class token and registers take part in neither convolutions nor attention
        self.side = config.image_size // config.patch
        self.D_fc1 = nn.Linear(config.width, width)
        self.branch1 = ConvBN(width, half, 1)
        self.branch2 = nn.Sequential(ConvBN(width, narrow, 1), ConvBN(narrow, quarter, 3))
        self.branch3 = nn.Sequential(ConvBN(width, narrow, 1), ConvBN(narrow, quarter, 5))
        self.cross_attn = CrossAttention(config) if config.id_features else None
        self.D_fc2 = nn.Linear(width, config.width)

    def forward(self, tokens: Tensor, id_embedding: Tensor) -> Tensor:
        """tokens (n, 1 + registers + patches, 1024), id_embedding (n, 512) -> the same shape as tokens."""
        hidden = F.relu(self.D_fc1(tokens))
        special, patches = hidden[:, : self.special], hidden[:, self.special :]
        id_token = id_embedding[:, None]  # (n, 1, 512)
        if self.cross_attn is not None and self.query == "image":
            identity = self.cross_attn.id_as_key(id_token)  # the convolutions cannot reach the output
        else:
            grid = rearrange(patches, "n (h w) c -> n c h w", h=self.side)
            scales = torch.cat([self.branch1(grid), self.branch2(grid), self.branch3(grid)], dim=1)
            found = rearrange(scales, "n c h w -> n (h w) c")
            identity = found if self.cross_attn is None else self.cross_attn.id_as_query(id_token, found)
        return self.D_fc2(torch.cat([2 * special, patches + identity], dim=1))
