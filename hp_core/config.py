"""Every number the system depends on, with its source; frozen, and rebuilt from JSON to the last field (`config_files`).

Defaults are the released ones, the paper's choice stands beside each quirk as a named option.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hp_core.checks import check_choice, check_range
from hp_core.config_demo import demo_scheduler, demo_unet, demo_vae
from hp_core.config_svd import svd_scheduler, svd_unet, svd_vae
from hp_core.errors import OptionError

SAMPLERS = ("euler", "ddim", "dpmpp_2m", "unipc", "lcm")
NOISE_RULES = ("independent", "shared")
WINDOW_RULES = ("ring", "line")
BRANCH_RULES = ("one by one", "together")
INTENSITY_RULES = ("released", "paper")
POSE_MODES = ("released", "paper", "identity")
POSE_DRAWINGS = ("controlnet", "mimicmotion")
POSE_PARTS = ("body", "face", "hands", "eyes")
ON_MISSING = ("error", "hold", "interpolate")
FPS_RANGE = (0.1, 1000.0)
MOTION_FILTERS = ("savgol", "one_euro")
MOTION_ENDS = ("as it is", "loop", "ping-pong")
MOTION_PACES = ("keep", "stretch")  # of a clip brought to another's length: at its own speed, cut off or held, or over as many frames
ABLATIONS = ("memory_bank", "iame", "id_features", "im_adapter")  # parts that the paper's Table 2 takes out
MOTION_TRANSLATIONS = ("as it is", "released", "predicted")
KERNELS = ("auto", "flash", "efficient", "math")  # of torch's scaled dot product attention; `auto` is the fastest that fits
UNET_STORAGES = ("compute", "fp8")  # the UNet's weights stay in the dtype of the computation, or in eight bits (`hp_core.weights.fp8`)
MEMORY_MODES = ("resident", "frugal", "streamed")
"""Where networks are while their stage does not run, from the most memory on the device to the least (`hp_core.memory`)."""


@dataclass(frozen=True)
class FaceConfig:
    """Sizes and margins of the crops (released-model, Preprocessing)."""

    image_size: int = 512  # side of the square crop, of the result and of the pose maps, pixels
    head_size: int = 256  # side of the head-pose encoder's input
    motion_size: int = 256  # side of the expression encoder's input
    square_growth: float = 1.0  # the box grows by this share of its own size on every side
    motion_widening: float = 0.45  # how far the motion crop moves from the five points to the face box

    def __post_init__(self) -> None:
        check_range("face.image_size", self.image_size, 64)
        check_range("face.head_size", self.head_size, 32)  # the ResNets halve it five times
        check_range("face.motion_size", self.motion_size, 32)
        if self.image_size % 8:
            raise OptionError(f"face.image_size is {self.image_size}; the VAE needs a multiple of 8.")


@dataclass(frozen=True)
class MotionConfig:
    """Expression encoder, head-pose encoder and the intensity-aware refiner (paper 3.3, C.2)."""

    expression_blocks: tuple[int, ...] = (3, 4, 6, 3)  # ResNet-50
    expression_width: int = 64
    expression_groups: int = 1
    expression_dim: int = 512
    head_blocks: tuple[int, ...] = (2, 2, 2, 2)  # ResNet-18
    head_width: int = 64
    head_groups: int = 32
    head_input: str = "released"  # "released": pixels * 2 + 1 (range 1..3); "symmetric": pixels * 2 - 1
    translation: str = "released"  # "released": zero; "predicted": the encoder's own, -2..2
    width: int = 768  # of the refiner
    depth: int = 6
    heads: int = 8
    memories: int = 64
    token_dim: int = 1024  # refined channels + 3 rotation + 3 translation
    levels: int = 128  # d: 128 released, 64 in the paper; both divide the ranges of `motion.intensity`
    intensity: str = "released"  # "released" | "paper": the rule of eq. 2-3
    intensity_embedding: str = "sum"  # "sum" released | "concat" paper
    # Keys and values: "memory+motion" released | "motion" paper eq. 4, with E added to the features. Queries, norms and residuals
    # are the released ones in both: eq. 4 leaves them open.
    memory_attention: str = "memory+motion"
    activation: str = "relu2"  # "relu2" (squared ReLU) released | "silu" paper C.2
    chunk: int = 25  # frames that share one intensity
    memory_bank: bool = True  # False, an ablation: the feature passes the blocks by itself, and one token a frame comes out
    intensity_aware: bool = True  # False, an ablation: no embedding of the intensity anywhere

    def __post_init__(self) -> None:
        check_choice("motion.head_input", self.head_input, ("released", "symmetric"))
        check_choice("motion.translation", self.translation, ("released", "predicted"))
        check_choice("motion.intensity", self.intensity, INTENSITY_RULES)
        check_choice("motion.intensity_embedding", self.intensity_embedding, ("sum", "concat"))
        check_choice("motion.memory_attention", self.memory_attention, ("memory+motion", "motion"))
        check_choice("motion.activation", self.activation, ("relu2", "silu"))
        check_range("motion.depth", self.depth, 1)
        check_range("motion.levels", self.levels, 2)
        check_range("motion.chunk", self.chunk, 2)  # one frame alone does not move


@dataclass(frozen=True)
class AppearanceConfig:
    """DINOv2 with registers, IMAdapters and the token projector (paper 3.4, C.1)."""

    image_size: int = 224  # 224 released, 256 in the paper (252: the nearest multiple of the patch)
    patch: int = 14
    width: int = 1024
    depth: int = 24
    heads: int = 16
    registers: int = 4
    grid: int = 37  # side of the learned positional grid
    adapter_blocks: tuple[int, ...] = (3, 7, 11, 15, 19, 23)
    adapter_width: int = 384
    adapter_attention: int = 256
    adapter_heads: int = 8
    adapter_scale: float = 0.2
    # "image" released | "id" paper eq. 5, whose one output token joins every patch; the residual inside the adapter stays.
    adapter_query: str = "image"
    id_dim: int = 512
    id_features: bool = True  # False, an ablation: what the convolutions say stands in the place of what the ID says
    tokens: int = 64

    def __post_init__(self) -> None:
        check_choice("appearance.adapter_query", self.adapter_query, ("image", "id"))
        check_range("appearance.patch", self.patch, 1)
        if self.image_size % self.patch:
            raise OptionError(f"appearance.image_size is {self.image_size}; it must be a multiple of the patch, {self.patch}.")

    @property
    def input_tokens(self) -> int:
        """Class token, registers and patches."""
        return 1 + self.registers + (self.image_size // self.patch) ** 2


@dataclass(frozen=True)
class PoseConfig:
    """Pose guider: channels of its stages; the last layer maps to the UNet's first width."""

    channels: tuple[int, ...] = (16, 32, 96, 256)


@dataclass(frozen=True)
class PoseStyle:
    """How keypoints are drawn. `eyes`: the body's eye and ear points and the face's eyes, left out in cross-reenactment (paper 3.5)."""

    drawing: str = "controlnet"  # "controlnet" | "mimicmotion": which one the released weights saw is not public
    body: bool = True
    face: bool = False
    hands: bool = False
    eyes: bool = False

    def __post_init__(self) -> None:
        check_choice("drawing", self.drawing, POSE_DRAWINGS)

    def __str__(self) -> str:
        return " ".join([self.drawing, *(part for part in POSE_PARTS if getattr(self, part))])

    @staticmethod
    def parse(text: str) -> PoseStyle:
        """What `str` of a style says: the drawing, then the parts."""
        drawing, *parts = text.split()
        for part in parts:
            check_choice("part of the pose", part, POSE_PARTS)
        return PoseStyle(drawing, **{part: part in parts for part in POSE_PARTS})


@dataclass(frozen=True)
class AlignConfig:
    """How the driver's keypoints are brought onto the portrait (paper 3.5)."""

    # "released": black, as the published inference | "paper": shift by the noses' offset, scale by the ratio of the skeletons'
    # lengths | "identity": where they are, for a driver framed like the portrait
    mode: str = "released"
    strength: float = 1.0  # of the head's movement and change of size since the reference frame; 0 stands still
    lock_x: bool = False  # the nose keeps its place from left to right
    lock_y: bool = False  # and from top to bottom
    lock_scale: bool = False  # the skeleton keeps its size
    level: bool = False  # turn by the angle between the two skeletons too, for a tilted camera; not in the paper
    reference: int = -1  # frame of the driver that stands for the portrait; -1: the one whose head is held most like the portrait's
    on_missing: str = "interpolate"  # what to do about frames without the person
    style: PoseStyle = field(default_factory=PoseStyle)

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, POSE_MODES)
        check_choice("on_missing", self.on_missing, ON_MISSING)
        check_range("strength", self.strength, -4, 4)
        check_range("reference", self.reference, -1)

    @property
    def draws_skeleton(self) -> bool:
        """Whether the guider sees a skeleton; else it sees black, as released."""
        return self.mode != "released"


@dataclass(frozen=True)
class MotionEdit:
    """Changes to a motion, made in this order by `hp_core.motion.edit.edited`; the defaults change nothing."""

    smooth: int = 1  # window of the smoothing in frames, odd; 1 is none
    filter: str = "savgol"  # "savgol": no delay, keeps blinks | "one_euro": calms stillness, follows fast moves
    expression: float = 1.0  # strength about the neutral frame: 0 holds that one, 2 doubles what departs from it
    rotation: float = 1.0  # the same for the head's turns
    neutral: int = -1  # number of the neutral frame; -1: the one nearest to the clip's median expression
    turn: float = 1.0  # the head's turns, counted from straight ahead, times this
    yaw: float = 0.0  # degrees, added to every frame
    pitch: float = 0.0
    roll: float = 0.0
    translation: str = "as it is"  # of the head: "released": zero | "predicted": the encoder's own
    fps: float = 0.0  # the same seconds at another frame rate; 0 keeps the clip's
    frames: int = 0  # stretched or squeezed to so many; 0 keeps them
    hold_before: int = 0  # extra frames for which the first one is held
    hold_after: int = 0  # and the last one
    end: str = "as it is"  # "loop": it goes over into the beginning | "ping-pong": forward, then backward

    def __post_init__(self) -> None:
        check_choice("smoothing", self.filter, MOTION_FILTERS)
        check_choice("translation", self.translation, MOTION_TRANSLATIONS)
        check_choice("end", self.end, MOTION_ENDS)
        if self.smooth < 1 or self.smooth % 2 == 0:
            raise OptionError(f"smoothing window is {self.smooth} frames; it must be odd, 1 or more: it needs a middle frame.")
        for name in ("expression", "rotation", "turn"):
            check_range(name, getattr(self, name), -2, 4)
        for name in ("yaw", "pitch", "roll"):
            check_range(name, getattr(self, name), -90, 90)
        check_range("neutral", self.neutral, -1)
        check_range("fps", self.fps or 1, *FPS_RANGE)
        for name in ("frames", "hold_before", "hold_after"):
            check_range(name, getattr(self, name), 0)

    @property
    def keeps_seconds(self) -> bool:
        """Whether what happens in the clip still happens when it did."""
        return not (self.frames or self.hold_before or self.hold_after) and self.end == "as it is"

    @property
    def keeps_frames(self) -> bool:
        """Whether each frame of the edited clip is that frame of the clip."""
        return self.keeps_seconds and not self.fps


@dataclass(frozen=True)
class SamplingConfig:
    """The denoising loop (released-model, Sampling; paper 4.1)."""

    steps: int = 25
    noise: str = "independent"  # "independent" released | "shared": every frame starts from the same noise, which flickers less
    # "euler" (Karras sigmas) released | "ddim" paper | "dpmpp_2m", "unipc": better at few steps | "lcm": for distilled weights
    sampler: str = "euler"
    appearance_guidance: tuple[float, float] = (2.0, 2.0)  # from the first step to the last
    motion_guidance: tuple[float, float] = (2.0, 2.0)
    guidance_interval: tuple[float, float] = (0.0, 1000.0)  # sigmas inside which guidance counts; outside it one branch is left
    start_step: int = 0  # the first one done, from 0; a later one begins with the portrait under that step's noise
    end_step: int = 1000  # the first one left out; before the last, noise is left in the result
    reuse_every: int = 1  # the UNet's deep blocks are computed every n-th step; 1 is exact, as released
    window: int = 25  # frames the UNet sees at once
    overlap: int = 3  # frames shared by neighbouring windows
    shift: int = 3  # frames all windows move back at each step
    # "ring" released: windows start every window - overlap frames and wrap around the clip | "line": as few as cover it, no frame of
    # which is computed for nothing; a clip no longer than a window takes one
    windows: str = "ring"
    branches: str = "one by one"  # guidance's branches | "together": in one batch, more memory for at best a little time
    pad_frames: int = 15  # warm-up frames before and after the clip, cut off after decoding
    fps: float = 12.5  # a number given to the UNet; the clip's own rate is never changed
    motion_bucket_id: float = 0.0
    noise_aug: float = 0.0
    decode_chunk: int = 8  # frames the temporal decoder sees at once
    decode_overlap: int = 0  # of them, those that two chunks share and that are blended; released: none

    def __post_init__(self) -> None:
        check_choice("sampler", self.sampler, SAMPLERS)
        check_choice("noise", self.noise, NOISE_RULES)
        check_choice("windows", self.windows, WINDOW_RULES)
        check_choice("branches", self.branches, BRANCH_RULES)
        check_range("steps", self.steps, 1, 1000)
        check_range("end_step", self.end_step, 1, 1000)
        check_range("start_step", self.start_step, 0, min(self.end_step, self.steps) - 1)
        if len(self.guidance_interval) != 2 or not 0 <= self.guidance_interval[0] <= self.guidance_interval[1]:
            raise OptionError(f"guidance_interval is {self.guidance_interval}; it needs two sigmas, 0 or more, the smaller one first.")
        check_range("reuse_every", self.reuse_every, 1, 1000)
        check_range("window", self.window, 1)
        check_range("decode_chunk", self.decode_chunk, 1)
        check_range("decode_overlap", self.decode_overlap, 0, self.decode_chunk - 1)
        for name in ("pad_frames", "shift", "fps", "motion_bucket_id", "noise_aug"):
            check_range(name, getattr(self, name), 0)
        if self.reuse_every > 1 and self.branches == "together":
            raise OptionError(f"reuse_every is {self.reuse_every}, which keeps what each branch says. Set branches to one by one.")
        if not 0 <= self.overlap < self.window:
            raise OptionError(f"overlap is {self.overlap}, the window {self.window} frames; it must be 0 or more and below the window.")
        for name in ("appearance_guidance", "motion_guidance"):
            pair = getattr(self, name)
            if len(pair) != 2:
                raise OptionError(f"{name} is {pair}; it needs two scales, at the first and at the last step.")
            for scale in pair:
                check_range(name, scale, 0, 100)


@dataclass(frozen=True)
class PortraitConfig:
    """The whole system; `released()` is the published model, `demo()` a small one of the same build for two CPU cores."""

    face: FaceConfig = field(default_factory=FaceConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    pose: PoseConfig = field(default_factory=PoseConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    unet: dict[str, Any] = field(default_factory=svd_unet)
    vae: dict[str, Any] = field(default_factory=svd_vae)
    scheduler: dict[str, Any] = field(default_factory=svd_scheduler)
    trained: bool = True  # False in a set that `hp-portrait init` has just written

    def __post_init__(self) -> None:
        if self.motion.token_dim != self.unet["cross_attention_dim"] or self.appearance.width != self.unet["cross_attention_dim"]:
            raise OptionError(
                f"motion.token_dim is {self.motion.token_dim} and appearance.width {self.appearance.width}; "
                f"both must equal unet.cross_attention_dim, {self.unet['cross_attention_dim']}."
            )
        channels = self.vae["latent_channels"]
        if (self.unet["in_channels"], self.unet["out_channels"]) != (2 * channels, channels):
            raise OptionError(
                f"unet.in_channels is {self.unet['in_channels']} and out_channels {self.unet['out_channels']}; with vae.latent_channels "
                f"{channels} they must be {2 * channels} (noisy and reference latent) and {channels}."
            )
        if 2 ** (len(self.pose.channels) - 1) != self.vae_scale_factor:
            raise OptionError(
                f"pose.channels has {len(self.pose.channels)} entries; the pose guider halves its maps between them, down to the size of "
                f"the VAE's latents: {len(self.vae['block_out_channels'])} entries."
            )
        step = self.vae_scale_factor << (len(self.unet["block_out_channels"]) - 1)  # both halve between their blocks
        if self.face.image_size % step:
            raise OptionError(f"face.image_size is {self.face.image_size}; the VAE and the UNet need a multiple of {step}.")

    @property
    def vae_scale_factor(self) -> int:
        """Pixels along a side of one latent: 8 in SVD's VAE."""
        return 2 ** (len(self.vae["block_out_channels"]) - 1)

    @staticmethod
    def released() -> PortraitConfig:
        """The published weights' configuration."""
        return PortraitConfig()

    @staticmethod
    def paper() -> PortraitConfig:
        """The paper's choice wherever the released weights differ from it (for training; no weights of it are published)."""
        return PortraitConfig(
            motion=MotionConfig(
                head_input="symmetric",
                translation="predicted",
                levels=64,
                intensity="paper",
                intensity_embedding="concat",
                memory_attention="motion",
                activation="silu",
            ),
            appearance=AppearanceConfig(image_size=252, adapter_query="id"),
            sampling=SamplingConfig(sampler="ddim"),
        )

    @staticmethod
    def demo() -> PortraitConfig:
        """20 M parameters at 128x128: same parts, same file layout, minutes on two CPU cores."""
        return PortraitConfig(
            # Drawn faces have their brows higher and their mouths lower than the released crop reaches.
            face=FaceConfig(image_size=128, head_size=64, motion_size=96, motion_widening=0.8),
            motion=MotionConfig(
                expression_blocks=(1, 1, 1, 1),
                expression_width=16,
                expression_groups=8,
                expression_dim=128,
                head_blocks=(1, 1, 1, 1),
                head_width=32,
                head_groups=8,
                head_input="symmetric",
                translation="predicted",  # its pictures are cropped by nobody, so the head's place is part of the motion
                width=128,
                depth=2,
                heads=4,
                memories=8,
                token_dim=128,
            ),
            appearance=AppearanceConfig(
                image_size=112,
                width=128,
                depth=3,
                heads=4,
                grid=8,
                adapter_blocks=(1, 2),
                adapter_width=48,
                adapter_attention=32,
                adapter_heads=4,
                tokens=16,
            ),
            pose=PoseConfig(channels=(8, 16, 64)),
            # One branch: so small a net trained on exact pairs needs no guidance. Its temporal layers need no warm-up either.
            sampling=SamplingConfig(steps=4, noise="shared", appearance_guidance=(1.0, 1.0), motion_guidance=(1.0, 1.0), pad_frames=0),
            unet=demo_unet(),
            vae=demo_vae(),
            scheduler=demo_scheduler(),
        )

    @staticmethod
    def preset(name: str) -> PortraitConfig:
        """`released`, `paper` or `demo`; anything else is an `OptionError`."""
        presets = {"released": PortraitConfig.released, "paper": PortraitConfig.paper, "demo": PortraitConfig.demo}
        check_choice("preset", name, tuple(presets))
        return presets[name]()

    def without(self, part: str) -> PortraitConfig:
        """A copy that lacks ``part``, of `ABLATIONS`, to be trained anew (paper 4.5).

        `memory_bank`: the learned memories; `iame`: the intensity's embedding, in the memories and in every norm; `id_features`: the
        ID's share of the IMAdapters, which leaves their convolutions; `im_adapter`: the adapters.
        """
        check_choice("without", part, ABLATIONS)
        if part == "memory_bank":
            return replace(self, motion=replace(self.motion, memory_bank=False))
        if part == "iame":
            return replace(self, motion=replace(self.motion, intensity_aware=False))
        if part == "id_features":
            return replace(self, appearance=replace(self.appearance, id_features=False))
        return replace(self, appearance=replace(self.appearance, adapter_blocks=()))

    def with_sampling(self, **changes: Any) -> PortraitConfig:
        """A copy whose sampling fields in ``changes`` are replaced (and checked)."""
        return replace(self, sampling=replace(self.sampling, **changes))
