"""From latents to frames, and frames back into the portrait."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from hp_core.compose import PASTE_REGIONS

from . import host, sockets
from .schema import advanced, schema


class PortraitDecode(io.ComfyNode):
    """VAE Decode in fixed chunks."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "Decode",
            "Portrait Decode",
            description="Decodes the latents in chunks of fixed length. SVD's decoder sees a chunk as a clip of its own, and the core VAE "
            "Decode lets free memory decide how long a chunk is: the picture then changes with what else is loaded.",
            inputs=[
                io.Latent.Input("latent", tooltip="What the SVD Portrait Sampler drew."),
                io.Vae.Input("vae", tooltip="Decodes the latents; from Load HunyuanPortrait."),
                io.Int.Input(
                    "chunk",
                    default=8,
                    min=1,
                    max=256,
                    tooltip="Frames decoded together, 1..256; fewer need less memory, more give fewer seams. Released: 8.",
                ),
                advanced(
                    io.Int.Input(
                        "overlap",
                        default=0,
                        min=0,
                        max=255,
                        tooltip="Frames that two chunks share and fade over, 0 to below chunk; hides seams, takes longer. Released: 0.",
                    )
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The frames, square, at the size of the weights (512, demo 128).")],
        )

    @classmethod
    def execute(cls, latent: Any, vae: Any, chunk: int, overlap: int = 0) -> io.NodeOutput:
        """Chunk by chunk."""
        from hp_core.vae import decode_latent

        return io.NodeOutput(host.watched(decode_latent(latent, host.decoder(vae, chunk), chunk=chunk, overlap=overlap)))


class PasteBack(io.ComfyNode):
    """The animated square in the untouched picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "PasteBack",
            "Paste Back",
            description="Blends the animated square into the untouched portrait, with a soft border.",
            inputs=[
                io.Image.Input("images", tooltip="The animated squares, from Portrait Decode."),
                sockets.FaceTrack.Input("portrait", tooltip="Face Crop of the portrait: the picture, and where its square was."),
                io.Image.Input(
                    "onto",
                    optional=True,
                    tooltip="Frames to paste into instead, such as another face's Paste Back: several faces in one picture.",
                ),
                sockets.FaceTrack.Input(
                    "beside",
                    optional=True,
                    tooltip="Face Crop of a neighbour in the same picture, whose face the ellipse leaves out; wants region = face.",
                ),
                sockets.FaceTrack.Input("beside_2", optional=True, tooltip="Face Crop of another neighbour, on the other side."),
                io.Combo.Input(
                    "region",
                    options=list(PASTE_REGIONS),
                    default="crop",
                    tooltip="crop: the whole square, as released. face: an ellipse about the face; hair ends, shoulders and background "
                    "stay the picture's own, and other faces too. Released: crop.",
                ),
                io.Boolean.Input(
                    "match_colour",
                    default=False,
                    tooltip="Bring each frame to the colours of the picture, measured on the square's border. Released: off.",
                ),
                advanced(
                    io.Boolean.Input(
                        "even_size",
                        default=True,
                        tooltip="Cut an odd last row or column, which H.264 cannot hold. Off: the picture's own size. Default: on.",
                    )
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="Frames of the portrait's size."),
                io.Mask.Output(display_name="mask", tooltip="Where they were changed, 0..1; one for all frames."),
            ],
        )

    @classmethod
    def execute(
        cls,
        images: Any,
        portrait: Any,
        region: str,
        match_colour: bool,
        onto: Any = None,
        beside: Any = None,
        beside_2: Any = None,
        even_size: bool = True,
    ) -> io.NodeOutput:
        """Frame by frame."""
        from hp_core.compose import paste_clip

        others = [other for other in (beside, beside_2) if other is not None]
        stage = paste_clip(images, portrait, onto, even_size=even_size, region=region, match_colour=match_colour, beside=others)
        return io.NodeOutput(*host.watched(stage))
