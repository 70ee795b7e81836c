"""Appearance Encode."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from . import host, sockets
from .schema import schema


class AppearanceEncode(io.ComfyNode):
    """Who the portrait shows."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "AppearanceEncode",
            "Appearance Encode",
            description="Encodes the portrait: DINOv2 with the identity of ArcFace, and the latent of the picture.",
            inputs=[
                sockets.Model.Input("model", tooltip="The networks, from Load HunyuanPortrait."),
                io.Vae.Input("vae", tooltip="Encodes the picture; from Load HunyuanPortrait, or SVD's VAE from a core loader."),
                sockets.FaceTrack.Input("portrait", tooltip="Face Crop of the portrait; of several frames the first counts."),
            ],
            outputs=[
                sockets.Appearance.Output(display_name="appearance", tooltip="Tokens, identity and reference latent, for the sampler.")
            ],
        )

    @classmethod
    def execute(cls, model: host.PortraitModel, vae: Any, portrait: Any) -> io.NodeOutput:
        """One picture through the encoders."""
        from hp_core.appearance.encode import encode_appearance
        from hp_core.vae import through_unit_range

        host.check_cancelled()
        models = model.models
        latent = through_unit_range(vae.encode)
        with model.on_device("dino", "image_proj") as device:
            appearance = encode_appearance(models.dino, models.image_proj, models.identity, latent, portrait, device=device)
        return io.NodeOutput(appearance)
