"""Intensity Estimate and Motion Encode."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from hp_core.config import INTENSITY_RULES

from . import host, sockets
from .schema import advanced, schema


class IntensityEstimate(io.ComfyNode):
    """How much the face and the head move."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "IntensityEstimate",
            "Intensity Estimate",
            description="Measures how much expression and head move in each stretch of frames; the memory bank of Motion Encode "
            "takes it in discrete levels.",
            inputs=[
                sockets.FaceTrack.Input("face_track", tooltip="Face Crop of the driving video."),
                io.Combo.Input(
                    "rule",
                    options=list(INTENSITY_RULES),
                    default="released",
                    tooltip="released: means of distances, as the weights were made. paper: root mean squares (eq. 2 and 3). Released: "
                    "released.",
                ),
                advanced(
                    io.Int.Input(
                        "chunk",
                        default=25,
                        min=2,
                        max=1000,
                        tooltip="Frames that share one intensity, 2..1000; fewer follow changes faster. Released: 25.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "levels",
                        default=128,
                        min=2,
                        max=128,
                        tooltip="Discrete levels d, 2..128, into which intensity is sorted: the number that the weights were trained "
                        "with. Released: 128, paper: 64.",
                    )
                ),
            ],
            outputs=[
                sockets.Intensity.Output(display_name="intensity", tooltip="For Motion Encode."),
                io.Image.Output(display_name="curves", tooltip="Expression and head intensity over the clip, as a picture."),
                io.String.Output(display_name="levels", tooltip="The levels of each stretch, expression / head."),
            ],
        )

    @classmethod
    def execute(cls, face_track: Any, rule: str, chunk: int = 25, levels: int = 128) -> io.NodeOutput:
        """From five points a frame."""
        from hp_core.config import MotionConfig
        from hp_core.image import to_float
        from hp_core.motion.encode import estimate_intensity
        from hp_core.motion.plot import plot_intensity

        intensity = estimate_intensity(face_track, MotionConfig(intensity=rule, chunk=chunk, levels=levels))
        curves = to_float(plot_intensity(intensity, len(face_track))[None])
        return io.NodeOutput(intensity, curves, str(intensity))


class MotionEncode(io.ComfyNode):
    """The driving motion without its person."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "MotionEncode",
            "Motion Encode",
            description="Turns the driving track into motion tokens: expression refined by the memory bank, and head rotation.",
            inputs=[
                sockets.Model.Input("model", tooltip="The networks, from Load HunyuanPortrait."),
                sockets.FaceTrack.Input("face_track", tooltip="Face Crop of the driving video."),
                sockets.Intensity.Input("intensity", tooltip="Intensity Estimate of the same track."),
            ],
            outputs=[sockets.Motion.Output(display_name="motion", tooltip="For the sampler; can be saved, edited and mixed.")],
        )

    @classmethod
    def execute(cls, model: host.PortraitModel, face_track: Any, intensity: Any) -> io.NodeOutput:
        """Frames through the encoders, sixteen at a time."""
        from hp_core.motion.encode import encode_clip

        models = model.models
        networks = ("expression", "headpose", "motion_proj")
        with model.on_device(*networks) as device:
            stage = encode_clip(
                *(getattr(models, name) for name in networks),
                face_track,
                intensity,
                models.config.motion,
                encoder=models.motion_fingerprint,
                device=device,
            )
            return io.NodeOutput(host.watched(stage))
