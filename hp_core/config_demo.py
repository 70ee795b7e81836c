"""What the demo's networks have in another size than Stable Video Diffusion's, as diffusers takes it."""

from __future__ import annotations

from typing import Any

from hp_core.config_svd import svd_scheduler, svd_unet, svd_vae


def demo_unet() -> dict[str, Any]:
    """SVD's UNet in small: 32x32 latents, four levels."""
    return svd_unet() | {
        "sample_size": 32,
        "in_channels": 40,
        "out_channels": 20,
        # Outermost, attention stands on the way up alone: there features that know the motion meet the portrait's.
        "down_block_types": ["DownBlockSpatioTemporal", *["CrossAttnDownBlockSpatioTemporal"] * 2, "DownBlockSpatioTemporal"],
        "up_block_types": ["UpBlockSpatioTemporal"] + ["CrossAttnUpBlockSpatioTemporal"] * 3,
        "block_out_channels": [64, 96, 128, 128],
        "addition_time_embed_dim": 32,
        "projection_class_embeddings_input_dim": 96,
        "layers_per_block": 1,
        "cross_attention_dim": 128,
        "num_attention_heads": [2, 3, 4, 4],
    }


def demo_vae() -> dict[str, Any]:
    """SVD's VAE in small, with latents of 4x4 pixels: parts of one are what moves."""
    return svd_vae() | {
        "down_block_types": ["DownEncoderBlock2D"] * 3,
        "block_out_channels": [32, 32, 128],
        "layers_per_block": 1,
        "latent_channels": 20,  # at 128 pixels, eyes and teeth do not fit into SVD's four
        "scaling_factor": 1.0,
        "sample_size": 128,
        "force_upcast": False,
    }


def demo_scheduler() -> dict[str, Any]:
    """Noise levels 100 to 20.

    Latents of about unit variance are drowned at 100. What so exact pairs leave open is little, and more steps at low noise would only
    add the small net's own errors, so it is trained at these levels alone.
    """
    return svd_scheduler() | {"sigma_min": 20.0, "sigma_max": 100.0}
