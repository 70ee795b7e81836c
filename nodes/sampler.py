"""SVD Portrait Sampler and its options."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from hp_core.config import BRANCH_RULES, NOISE_RULES, SAMPLERS, WINDOW_RULES
from hp_core.sampling.presets import PRESETS

from . import host, sockets
from .schema import advanced, schema


def _scale(name: str, what: str) -> Any:
    return io.Float.Input(
        name, default=2.0, min=0.0, max=100.0, step=0.05, tooltip=f"How much {what} counts, 0..100; 1 is no guidance. Released: 2. Demo: 1."
    )


class PortraitSampler(io.ComfyNode):
    """From noise to the latents of a video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "Sampler",
            "SVD Portrait Sampler",
            description="Draws the portrait in the driving motion. The latents go to Portrait Decode, or to any VAE Decode.",
            search_aliases=["ksampler", "stable video diffusion"],
            inputs=[
                sockets.Model.Input("model", tooltip="From Load HunyuanPortrait."),
                sockets.Appearance.Input("appearance", tooltip="From Appearance Encode."),
                sockets.Motion.Input("motion", tooltip="From Motion Encode, Motion Load, Motion Edit or Motion Mix."),
                sockets.Pose.Input("pose", optional=True, tooltip="From Pose Align. Free: black, as released."),
                sockets.Options.Input("options", optional=True, tooltip="From Sampler Options. Free: the weights' own."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0x7FFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Of the starting noise; the same seed gives the same video on the same machine. Default: 0.",
                ),
                io.Int.Input(
                    "steps",
                    default=25,
                    min=1,
                    max=1000,
                    tooltip="Denoising steps, 1..1000; more take longer and are finer. Released: 25. Demo: 4.",
                ),
                _scale("appearance_guidance", "the portrait"),
                _scale("motion_guidance", "the driving motion"),
                io.Combo.Input(
                    "sampler",
                    options=list(SAMPLERS),
                    default="euler",
                    tooltip="euler: Karras sigmas, as released. ddim: the paper's. dpmpp_2m, unipc: of second order, for fewer steps. "
                    "lcm: for weights with an LCM-LoRA, 2 to 8 steps.",
                ),
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default="exact",
                    tooltip="exact: what the widgets say, the released way. balanced, fast, draft: fewer steps of another sampler; fast "
                    "and draft also fewer windows and warm-up frames, draft no guidance. Faster, and less like the released result. "
                    "Sampler Options, if connected, override its windows and warm-up.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="One for each frame, unscaled, as every VAE Decode takes it.")],
        )

    @classmethod
    def execute(
        cls,
        model: host.PortraitModel,
        appearance: Any,
        motion: Any,
        seed: int,
        steps: int,
        appearance_guidance: float,
        motion_guidance: float,
        sampler: str,
        preset: str = "exact",
        pose: Any = None,
        options: Any = None,
    ) -> io.NodeOutput:
        """Window by window, step by step."""
        from hp_core.sampler import ClipSampler
        from hp_core.unet.attention import attention_kernel

        models = model.models
        widgets = {
            "steps": steps,
            "appearance_guidance": (appearance_guidance,) * 2,
            "motion_guidance": (motion_guidance,) * 2,
            "sampler": sampler,
        }
        config = models.config.with_sampling(**widgets | PRESETS[preset] | (options or {})).sampling
        run = ClipSampler(models, appearance, motion, pose, config=config, seed=seed)
        needed = run.activation_bytes(models.unet.dtype)
        with attention_kernel(model.attention), model.on_device("unet", "pose_guider", activations=needed) as device:
            preview = None
            for state in run.states(device):
                preview = preview or host.StepPreview(state.evaluations, run.reference, appearance.image)
                preview.show(state.evaluation, state.clean)
        return io.NodeOutput(run.as_latent(state.latents))


class SamplerOptions(io.ComfyNode):
    """What the sampler is seldom asked."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "SamplerOptions",
            "Sampler Options",
            description="How the clip is cut into windows, and what the UNet is told beside the tokens. Defaults as released.",
            inputs=[
                io.Int.Input(
                    "window",
                    default=25,
                    min=1,
                    max=256,
                    tooltip="Frames the UNet sees together, 1..256; fewer need less memory. Released: 25.",
                ),
                io.Int.Input(
                    "overlap", default=3, min=0, max=255, tooltip="Frames shared by neighbouring windows, below window. Released: 3."
                ),
                io.Int.Input("shift", default=3, min=0, max=255, tooltip="Frames all windows move back at each step, 0..255. Released: 3."),
                io.Int.Input(
                    "pad_frames",
                    default=15,
                    min=0,
                    max=255,
                    tooltip="Warm-up frames before and after the clip, 0..255, cut off. Released: 15. Demo: 0.",
                ),
                io.Combo.Input(
                    "noise",
                    options=list(NOISE_RULES),
                    default="independent",
                    tooltip="independent: every frame its own, as released. shared: one for all frames, which flickers less (demo).",
                ),
                io.Combo.Input(
                    "windows",
                    options=list(WINDOW_RULES),
                    default="ring",
                    tooltip="ring: windows wrap around the clip, as released. line: as few as cover it.",
                ),
                advanced(
                    io.Combo.Input(
                        "branches",
                        options=list(BRANCH_RULES),
                        default="one by one",
                        tooltip="Guidance's branches. one by one: least memory. together: in one batch; the picture is the same. "
                        "The reference code: together. Default: one by one.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "start_step",
                        default=0,
                        min=0,
                        max=999,
                        tooltip="First step done, from 0; a later one begins with the portrait under that step's noise. Released: 0.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "end_step", default=1000, min=1, max=1000, tooltip="First step left out; noise stays in the result. Released: none."
                    )
                ),
                advanced(
                    io.Float.Input(
                        "guidance_from",
                        default=0.0,
                        min=0.0,
                        max=1000.0,
                        step=0.1,
                        tooltip="Sigma below which guidance is off, which saves evaluations. Released: 0, always on.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "guidance_to",
                        default=1000.0,
                        min=0.0,
                        max=1000.0,
                        step=0.1,
                        tooltip="Sigma above which guidance is off. Released: never.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "fps",
                        default=12.5,
                        min=0.0,
                        max=1000.0,
                        step=0.5,
                        tooltip="Frames/s told to the UNet, 0..1000; the clip keeps its own. Released: 12.5.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "motion_bucket_id", default=0.0, min=0.0, max=1023.0, step=1.0, tooltip="SVD's motion bucket, 0..1023. Released: 0."
                    )
                ),
                advanced(
                    io.Float.Input(
                        "noise_aug", default=0.0, min=0.0, max=10.0, step=0.01, tooltip="SVD's noise augmentation, 0..10. Released: 0."
                    )
                ),
                advanced(
                    io.Int.Input(
                        "reuse_every",
                        default=1,
                        min=1,
                        max=1000,
                        tooltip="The UNet's deep blocks are computed every n-th step, 1..1000: faster above 1, and approximate; their "
                        "features wait in main memory. Released: 1, exact.",
                    )
                ),
            ],
            outputs=[sockets.Options.Output(display_name="options", tooltip="For the sampler.")],
        )

    @classmethod
    def execute(cls, guidance_from: float = 0.0, guidance_to: float = 1000.0, **options: Any) -> io.NodeOutput:
        """The options as they are; the sampler checks them against each other."""
        return io.NodeOutput({**options, "guidance_interval": (guidance_from, guidance_to)})
