"""SVD's spatio-temporal UNet with appearance and motion attention and the pose feature (paper 3.2, Figure 2).

Only the two diffusers forwards that stand in the way of per-frame token pairs are written anew; every block is diffusers'.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel, TransformerTemporalModelOutput
from einops import rearrange, repeat
from torch import Tensor

from hp_core.unet.attention import MotionAttnProcessor, ProjectedTokens, TokenPair, project_tokens
from hp_core.unet.feed_forward import save_memory
from hp_core.unet.temporal import set_spatial_only


@dataclass(frozen=True)
class TokenSets:
    """The tokens of one forward pass; diffusers' blocks only hand it on as `encoder_hidden_states`."""

    spatial: TokenPair
    temporal: TokenPair


@dataclass
class DeepFeatures:
    """What the blocks below the outermost pair say of one evaluation (Ma et al. 2024, DeepCache): kept by whoever passes it in.

    Attributes:
        entering: (batch * frames, channels, height, width), what enters the last up block; None is filled by the evaluation, anything
            else is taken in the place of the deep blocks' own.
    """

    entering: Tensor | None = None


class PortraitTransformer(TransformerSpatioTemporalModel):
    """diffusers' spatio-temporal transformer, fed a `TokenSets`.

    SVD lets every position of the temporal attention see the first frame's tokens; here they see the mean over the window,
    projected once for all positions (released-model, UNet).
    """

    spatial_only = False

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: TokenSets,
        image_only_indicator: Tensor,
        return_dict: bool = True,
    ) -> TransformerTemporalModelOutput | tuple[Tensor]:
        """hidden_states (batch * frames, channels, height, width) -> the same shape."""
        tokens = encoder_hidden_states
        batch, frames = image_only_indicator.shape
        height, width = hidden_states.shape[-2:]
        residual = hidden_states
        x = self.proj_in(rearrange(self.norm(hidden_states), "n c h w -> n (h w) c"))
        checkpointing = torch.is_grad_enabled() and self.gradient_checkpointing
        through = self._gradient_checkpointing_func if checkpointing else _called
        if self.spatial_only:
            for block in self.transformer_blocks:
                x = through(block, x, None, tokens.spatial, None)
            out = rearrange(self.proj_out(x), "n (h w) c -> n c h w", h=height, w=width).contiguous() + residual
            return TransformerTemporalModelOutput(sample=out) if return_dict else (out,)
        frame_index = torch.arange(frames, device=x.device)
        positions = repeat(self.time_pos_embed(self.time_proj(frame_index).to(x.dtype)), "f c -> (b f) 1 c", b=batch)
        for block, temporal_block in zip(self.transformer_blocks, self.temporal_transformer_blocks, strict=True):
            x = through(block, x, None, tokens.spatial, None)
            mixed = through(temporal_block, x + positions, frames, tokens.temporal)
            x = self.time_mixer(x_spatial=x, x_temporal=mixed, image_only_indicator=image_only_indicator)
        x = rearrange(self.proj_out(x), "n (h w) c -> n c h w", h=height, w=width).contiguous()
        out = x + residual
        return TransformerTemporalModelOutput(sample=out) if return_dict else (out,)


def _called(block: torch.nn.Module, *args: Any) -> Any:
    return block(*args)


class PortraitUNet(UNetSpatioTemporalConditionModel):
    """The denoising UNet. Built from SVD's config (`PortraitUNet.from_config`), it has exactly the 1492 published names."""

    # Read by diffusers' group offloading: descend into these, so that a group is one residual or attention block. Releases before
    # 0.36 do not know it and take a whole resolution for a group: more memory, the same result.
    _group_offload_block_modules = ("down_blocks", "mid_block", "up_blocks", *"0123456789")

    @wraps(UNetSpatioTemporalConditionModel.__init__)  # type: ignore[misc]  # from_config reads the names off the signature
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        set_spatial_only(self, False)
        save_memory(self)
        self.cross_attentions: list[Attention] = []
        for name, module in self.named_modules():
            if isinstance(module, TransformerSpatioTemporalModel):
                # diffusers' block constructors name this class themselves; same state, other forward.
                module.__class__ = PortraitTransformer
            if name.endswith("attn2") and isinstance(module, Attention):
                self.cross_attentions.append(module)
        for layer, attn in enumerate(self.cross_attentions):
            attn.set_processor(MotionAttnProcessor(cross_attention_dim=attn.cross_attention_dim, inner_dim=attn.inner_dim, layer=layer))

    def project_appearance(self, tokens: Tensor) -> ProjectedTokens:
        """Keys and values of appearance tokens (batch, tokens, channels) for every layer: once a video, not once a step."""
        return project_tokens(self.cross_attentions, tokens)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        *,
        appearance: Tensor | ProjectedTokens | None,
        motion: Tensor | None,
        added_time_ids: Tensor,
        pose: Tensor | None = None,
        deep: DeepFeatures | None = None,
    ) -> Tensor:
        """One evaluation of the v-prediction.

        Args:
            sample: (batch, frames, 8, height, width), noisy latents divided by sqrt(sigma^2 + 1), then the reference latent.
            timestep: 0.25 * ln(sigma), one number or (batch,).
            appearance: (batch, frames or 1, tokens, channels); 1 means the same in every frame; or those of
                `project_appearance`; None means tokens of zero.
            motion: (batch, frames, tokens, channels), or None for tokens of zero.
            added_time_ids: (batch, 3): fps, motion bucket, noise augmentation.
            pose: (batch, frames, channels, height, width), added to the first convolution's output.
            deep: to be filled, or to be used; None computes everything and keeps nothing.

        Returns:
            (batch, frames, 4, height, width).
        """
        batch, frames = sample.shape[:2]
        tokens = token_sets(appearance, motion)
        emb = self._embed(timestep, added_time_ids, sample)
        emb = repeat(emb, "b c -> (b f) c", f=frames)
        x = self.conv_in(rearrange(sample, "b f c h w -> (b f) c h w"))
        if pose is not None:
            x = x + rearrange(pose, "b f c h w -> (b f) c h w")
        video = torch.zeros(batch, frames, dtype=x.dtype, device=x.device)  # image_only_indicator: 0 marks a video

        known = None if deep is None else deep.entering
        skips: tuple[Tensor, ...] = (x,)
        for block in self.down_blocks if known is None else self.down_blocks[:1]:
            x, more = block(hidden_states=x, temb=emb, image_only_indicator=video, **_tokens_for(block, tokens))
            skips += more
        last = self.up_blocks[-1]
        if known is None:
            x = self.mid_block(hidden_states=x, temb=emb, image_only_indicator=video, encoder_hidden_states=tokens)
            for block in self.up_blocks[:-1]:
                used, skips = skips[-len(block.resnets) :], skips[: -len(block.resnets)]
                x = block(
                    hidden_states=x,
                    temb=emb,
                    res_hidden_states_tuple=used,
                    upsample_size=skips[-1].shape[2:],  # odd sizes: upsample to the next skip's size
                    image_only_indicator=video,
                    **_tokens_for(block, tokens),
                )
            if deep is not None:
                deep.entering = x
        else:
            x, skips = known, skips[: len(last.resnets)]
        x = last(
            hidden_states=x,
            temb=emb,
            res_hidden_states_tuple=skips,
            upsample_size=None,
            image_only_indicator=video,
            **_tokens_for(last, tokens),
        )
        x = self.conv_out(self.conv_act(self.conv_norm_out(x)))
        return rearrange(x, "(b f) c h w -> b f c h w", b=batch)

    def _embed(self, timestep: Tensor | float, added_time_ids: Tensor, sample: Tensor) -> Tensor:
        """Embedding of timestep and added ids, (batch, channels)."""
        batch = len(sample)
        t = torch.as_tensor(timestep, device=sample.device).expand(batch)
        ids = rearrange(self.add_time_proj(added_time_ids.flatten()), "(b n) c -> b (n c)", b=batch)
        return self.time_embedding(self.time_proj(t).to(sample.dtype)) + self.add_embedding(ids.to(sample.dtype))


def _tokens_for(block: torch.nn.Module, tokens: TokenSets) -> dict[str, TokenSets]:
    return {"encoder_hidden_states": tokens} if getattr(block, "has_cross_attention", False) else {}


def token_sets(appearance: Tensor | ProjectedTokens | None, motion: Tensor | None) -> TokenSets:
    """Spatial attention sees each frame's tokens, temporal attention their mean over the window."""
    spatial_appearance, temporal_appearance = appearance, appearance
    if isinstance(appearance, Tensor):
        spatial_appearance, temporal_appearance = rearrange(appearance, "b f t c -> (b f) t c"), appearance.mean(1)
    spatial_motion = None if motion is None else rearrange(motion, "b f t c -> (b f) t c")
    temporal_motion = None if motion is None else motion.mean(1)
    return TokenSets(TokenPair(spatial_appearance, spatial_motion), TokenPair(temporal_appearance, temporal_motion))
