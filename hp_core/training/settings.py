"""What a training run is told: typed, checked, written as YAML. The files of it are shipped in `hp_core/training/configs`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from hp_core.checks import check_choice, check_range
from hp_core.config import ABLATIONS
from hp_core.config_files import check_type
from hp_core.errors import OptionError, about
from hp_core.weights.catalog import MODULES

SHIPPED = Path(__file__).parent / "configs"
PEOPLE = ("video", "folder")


@dataclass(frozen=True)
class DataConfig:
    """Where clips come from and what is cached of them."""

    shards: str = ""  # folder of `hp-portrait prepare`; empty: rendered portraits (`hp_core.demo`)
    people: str = "video"  # "video" | "folder": whose clips show one person: a video's, or those of all videos below one folder
    clips: int = 1000  # of the rendered ones
    frames: int = 24  # of a rendered clip
    fps: float = 12.5  # of a rendered clip
    rest_frame: bool = True  # a rendered clip begins with the person at rest, as portraits show people
    held_out: int = 8  # clips kept aside for validation
    motion_variants: int = 2  # cached motion features of a frame, each with colours jittered anew
    cross_share: float = 0.7  # of the rendered clips whose motion crops show somebody else in the same performance
    style_share: float = 0.0  # of the clips that are restyled (paper 3.5)
    stylizer: str = ""  # path of an AnimeGANv3 .onnx file; empty: rendered portraits take one of the renderer's own styles
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("data.people", self.people, PEOPLE)
        check_range("data.clips", self.clips, 1)
        check_range("data.frames", self.frames, 1)
        check_range("data.fps", self.fps, 0.1)
        check_range("data.held_out", self.held_out, 1)
        check_range("data.motion_variants", self.motion_variants, 1)
        check_range("data.cross_share", self.cross_share, 0, 1)
        check_range("data.style_share", self.style_share, 0, 1)
        check_range("data.seed", self.seed, 0)
        if bool(self.style_share) != bool(self.stylizer) and (self.stylizer or self.shards):
            raise OptionError(
                f"data.style_share is {self.style_share} and data.stylizer '{self.stylizer}'. A stylizer restyles a share above 0 of the "
                "clips, and real clips are restyled by a stylizer alone: the path of an AnimeGANv3 .onnx file. Set both, or neither."
            )


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, schedule and precision. The defaults are the paper's (4.1)."""

    optimizer: str = "adamw"  # or "muon": matrices by orthogonal momentum, the rest by AdamW; whole weights only, so not with FSDP
    steps: int = 100_000
    batch: int = 8  # clips a step, over all processes and accumulated parts
    accumulate: int = 1
    lr: float = 1e-5
    betas: tuple[float, ...] = (0.9, 0.999)
    weight_decay: float = 0.01
    warmup: int = 500  # steps
    decay: str = "constant"  # "constant" | "cosine" to `final_lr` of the rate
    final_lr: float = 0.1
    grad_norm: float = 0.99
    ema: float = 0.9999  # decay of the averaged weights; 0 keeps none
    precision: str = "fp32"  # "fp32" | "bf16" | "fp16"; on a CPU without bfloat16 units, bf16 is three times slower than fp32
    gradient_checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("optim.optimizer", self.optimizer, ("adamw", "muon"))
        check_range("optim.steps", self.steps, 1)
        check_range("optim.batch", self.batch, 1)
        check_range("optim.accumulate", self.accumulate, 1)
        check_range("optim.lr", self.lr, 0, 1)
        check_range("optim.weight_decay", self.weight_decay, 0)
        check_range("optim.warmup", self.warmup, 0)
        check_choice("optim.decay", self.decay, ("constant", "cosine"))
        check_range("optim.final_lr", self.final_lr, 0, 1)
        check_range("optim.grad_norm", self.grad_norm, 1e-6)
        check_range("optim.ema", self.ema, 0, 1)
        check_choice("optim.precision", self.precision, ("fp32", "bf16", "fp16"))
        if len(self.betas) != 2:
            raise OptionError(f"optim.betas is {list(self.betas)}; AdamW needs two.")
        for beta in self.betas:
            check_range("optim.betas", beta, 0, 0.999999)
        check_range("optim.seed", self.seed, 0)


@dataclass(frozen=True)
class LogConfig:
    """What is written while training, counted in steps."""

    metrics_every: int = 50
    checkpoint_every: int = 1000
    validate_every: int = 1000
    keep: int = 2  # checkpoints

    def __post_init__(self) -> None:
        for item in fields(self):
            check_range(f"log.{item.name}", getattr(self, item.name), 1)


@dataclass(frozen=True)
class SigmaConfig:
    """Distribution of the noise levels (training 4a)."""

    # "lognormal" SVD and its public trainers | "cosine" StableAnimator's interpolated cosine log-SNR | "loguniform"
    kind: str = "lognormal"
    mean: float = 0.7  # of ln sigma
    std: float = 1.6
    low: float = 0.002  # of the cosine and of the log-uniform ones
    high: float = 700.0
    noise_low: float = 32.0  # resolutions between which the cosine one is interpolated
    noise_high: float = 64.0
    uniform_share: float = 0.0  # of the levels that are drawn log-uniformly whatever the kind

    def __post_init__(self) -> None:
        check_choice("sigma.kind", self.kind, ("lognormal", "cosine", "loguniform"))
        check_range("sigma.std", self.std, 0)
        check_range("sigma.low", self.low, 1e-6)
        check_range("sigma.high", self.high, self.low)
        for name in ("noise_low", "noise_high"):
            check_range(f"sigma.{name}", getattr(self, name), 1)
        check_range("sigma.uniform_share", self.uniform_share, 0, 1)


@dataclass(frozen=True)
class VaeTraining:
    """The small VAE of the demo weights; the released system takes SVD's as it is."""

    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    log: LogConfig = field(default_factory=LogConfig)
    # "learned", or "patches": the encoder is the principal component analysis of patches and only the decoder learns
    encoder: str = "learned"
    crop: int = 0  # side of the random crops it sees, pixels; 0: whole frames. Crops are faster and the network is convolutional.
    kl: float = 1e-4
    gradient: float = 1.0  # weight of the difference of image gradients
    face: float = 2.0  # weight added inside the face, and as much at the eyes and the mouth

    def __post_init__(self) -> None:
        check_choice("vae.encoder", self.encoder, ("learned", "patches"))
        check_range("vae.crop", self.crop, 0)
        for name in ("kl", "gradient", "face"):
            check_range(f"vae.{name}", getattr(self, name), 0)


@dataclass(frozen=True)
class IdentityTraining:
    """The small ID encoder of the demo weights, by ArcFace's loss (Deng et al. 2019); the released system takes ArcFace."""

    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    log: LogConfig = field(default_factory=LogConfig)
    width: int = 16
    margin: float = 0.3  # radians
    scale: float = 24.0
    jitter: float = 0.03  # deviation of the five points, in eye distance plus mouth width

    def __post_init__(self) -> None:
        check_range("identity.width", self.width, 4)
        for name in ("margin", "scale", "jitter"):
            check_range(f"identity.{name}", getattr(self, name), 0)


@dataclass(frozen=True)
class MotionTraining:
    """Pre-training of the expression and head-pose encoders in the manner of MegaPortraits (paper C.2)."""

    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    log: LogConfig = field(default_factory=LogConfig)
    width: int = 32  # of the generator that redraws the driving frame
    reconstruction: float = 1.0
    drawn_stride: int = 1  # every n-th row of the batch is redrawn; that costs more than reading the truths off it
    labels: float = 1.0  # weight of the truths that a clip brings along (head rotation; in a rendered world the expression too)
    jitter: float = 0.4  # strength of the colour jitter, 0..1
    shift: float = 0.06  # of the crops, in crop sides; twice this is the stretch

    def __post_init__(self) -> None:
        check_range("motion.width", self.width, 8)
        check_range("motion.drawn_stride", self.drawn_stride, 1)
        for name in ("reconstruction", "labels"):
            check_range(f"motion.{name}", getattr(self, name), 0)
        for name in ("jitter", "shift"):
            check_range(f"motion.{name}", getattr(self, name), 0, 1)


@dataclass(frozen=True)
class AnimationTraining:
    """The paper's stage: SVD learns to be steered (3.5, 4.1)."""

    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    log: LogConfig = field(default_factory=LogConfig)
    sigma: SigmaConfig = field(default_factory=SigmaConfig)
    frames: int = 14  # of a training window
    stride: int = 1  # most frames between two of a window
    first_reference: float = 0.0  # share of the clips whose portrait is their first frame; the others take any frame
    shared_noise: bool = False  # one noise for all frames of a window, as `SamplingConfig.noise` has it
    spatial_only: bool = False  # leave the temporal layers out and untouched; for windows of one frame
    drop_motion: float = 0.1  # share of the clips trained without motion: guidance's middle branch
    drop_all: float = 0.1  # and without appearance, reference and motion: its first branch
    face: float = 1.0  # weight of the loss added inside the face
    features: float = 0.0  # and at the eyes and the mouth
    perceptual: float = 0.0  # weight of the faces' difference as the expression encoder sees them; latents of the patches encoder only
    colour: float = 0.0  # weight of the difference of colours (`hp_core.training.chroma`), most at eyes and mouth; same latents only
    # Latent channels count by their variance to this power: 0 alike; 1, for latents of the patches encoder, by the picture's error
    variance_power: float = 0.0
    pose: float = 1.0  # share of the clips whose skeleton is drawn; the others see black
    # Share of the clips whose head translation is hidden from the tokens, as `translation: released` hides it: of those with a black
    # pose map, and of those with a skeleton, which then is all that tells where the head is
    drop_translation: tuple[float, ...] = (0.0, 0.0)
    drop_eyes: float = 0.5  # chance of a skeleton to be drawn without eyes and ears, as it is between different people
    drop_edges: float = 0.1  # chance of each edge of a skeleton to be left out (paper 3.5)
    head_only: float = 0.0  # share of the skeletons that are nose and estimated neck, as a face track without a body gives them
    neck_length: tuple[float, ...] = (0.9, 1.1)  # shortest and longest of these, in usual ones: it is a guess, and faces differ
    freeze_vit: bool = True  # the DINOv2 blocks; only the small one of the demo is trained
    validation_steps: int = 8
    validation_frames: int = 25  # of each held-out clip, at most

    def __post_init__(self) -> None:
        check_range("frames", self.frames, 1)
        check_range("stride", self.stride, 1)
        for name in ("validation_steps", "validation_frames"):
            check_range(name, getattr(self, name), 1)
        for name in ("face", "features", "perceptual", "colour"):
            check_range(name, getattr(self, name), 0)
        for name in ("drop_motion", "drop_all", "pose", "drop_eyes", "drop_edges", "head_only", "variance_power"):
            check_range(name, getattr(self, name), 0, 1)
        if len(self.neck_length) != 2 or not 0 < self.neck_length[0] <= self.neck_length[1]:
            raise OptionError(f"neck_length is {list(self.neck_length)}; it takes two lengths above 0: the shortest and the longest.")
        if len(self.drop_translation) != 2:
            raise OptionError(f"drop_translation is {list(self.drop_translation)}; it takes two shares: without a skeleton, and with one.")
        for share in self.drop_translation:
            check_range("drop_translation", share, 0, 1)
        if self.drop_motion + self.drop_all > 1:
            raise OptionError(f"drop_motion and drop_all are {self.drop_motion} and {self.drop_all}; together they must not exceed 1.")
        if self.spatial_only and self.frames != 1:
            raise OptionError(f"spatial_only trains single frames, frames is {self.frames}. Set frames: 1.")

    def check_device(self, kind: str) -> None:
        """Raise `OptionError` where training on a device of ``kind`` (`cpu`, `cuda`) would go wrong without a word."""
        if kind == "cpu" and self.optim.precision == "bf16" and self.frames == 2:
            raise OptionError(
                "animation.frames is 2 and optim.precision bf16: on some CPUs torch's gradient of a convolution over two frames is then "
                "not a number, or far too large. Set frames to 1, or to 3 or more, or precision: fp32."
            )


@dataclass(frozen=True)
class DecoderTraining:
    """The small VAE's decoder once more, when the UNet is trained: on what the UNet draws beside what the encoder says."""

    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    log: LogConfig = field(default_factory=LogConfig)
    predicted: float = 0.5  # share of the frames whose latents the UNet drew
    steps: int = 4  # of denoising, for these
    gradient: float = 1.0  # weight of the difference of image gradients
    face: float = 2.0  # weight added inside the face, and as much at the eyes and the mouth
    perceptual: float = 0.0  # weight of the faces' difference as the expression encoder sees them
    sharpness: float = 0.0  # weight of the difference of local contrast (`hp_core.training.sharpness`)
    spikes: float = 0.0  # weight of values that overpower their group norm (`hp_core.training.spikes`)

    def __post_init__(self) -> None:
        check_range("decoder.predicted", self.predicted, 0, 1)
        check_range("decoder.steps", self.steps, 1)
        for name in ("gradient", "face", "perceptual", "sharpness", "spikes"):
            check_range(f"decoder.{name}", getattr(self, name), 0)


@dataclass(frozen=True)
class TrainConfig:
    """Everything `hp-portrait train` does, stage by stage."""

    preset: str = "released"  # of `PortraitConfig`; what is built
    start: str = ""  # weights folder to start from, `demo` for the set of the package; what it lacks is initialised
    take: tuple[str, ...] = ()  # modules taken from `start`, by their published files' names; empty: all it has
    without: str = ""  # a part of `hp_core.config.ABLATIONS` to leave out
    vae: VaeTraining = field(default_factory=VaeTraining)
    identity: IdentityTraining = field(default_factory=IdentityTraining)
    motion: MotionTraining = field(default_factory=MotionTraining)
    animation: AnimationTraining = field(default_factory=AnimationTraining)
    decoder: DecoderTraining = field(default_factory=DecoderTraining)

    def __post_init__(self) -> None:
        check_choice("preset", self.preset, ("released", "paper", "demo"))
        for name in self.take:
            check_choice("take", name, MODULES)
        if self.without:
            check_choice("without", self.without, ABLATIONS)


STAGES = ("vae", "identity", "motion", "animation", "decoder")
_Any = TypeVar("_Any")


def read_settings(name: str, changes: dict[str, str] | None = None, *, stage: str = "") -> TrainConfig:
    """Read a YAML file, or the shipped one called ``name`` (`demo`, `released`, `finetune`).

    Args:
        changes: values to put in the place of the file's, by their path: ``{"animation.optim.lr": "1e-4"}``.
        stage: the file must have a section for; empty: none.

    Raises:
        OptionError: no such file, no YAML, an unknown key, a wrong type or an impossible value, or no section for ``stage``.
    """
    yaml = _yaml()
    path = SHIPPED / f"{name}.yaml" if (SHIPPED / f"{name}.yaml").is_file() else Path(name)
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        raise OptionError(f"There is no configuration file {name}. Name a YAML file or one of: {shipped}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} is not YAML ({error}). Correct it, or start from a shipped one in {SHIPPED}.") from error
    if stage and isinstance(content, dict) and stage not in content:
        given = ", ".join(name for name in STAGES if name in content) or "none"
        raise OptionError(
            f"{path} has no section for the stage {stage} (it has: {given}); its networks are taken as they are. Name another "
            f"configuration, or add `{stage}: {{}}` to yours for the defaults."
        )
    for key, text in (changes or {}).items():
        *parents, last = key.split(".")
        place = content
        for parent in parents:
            place = place.setdefault(parent, {}) if isinstance(place, dict) else place
        if not isinstance(place, dict):
            raise OptionError(f"{key} cannot be set: {'.'.join(parents)} is a value, not a section.")
        try:
            place[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise OptionError(f"{key} is '{text}', which is not YAML ({str(error).splitlines()[0]}).") from error
    return build_settings(TrainConfig, content, path)


def build_settings(cls: type[_Any], values: Any, file: Path, part: str = "") -> _Any:
    """A dataclass of settings, and those inside it, from what YAML holds.

    Raises:
        OptionError: an unknown key, a wrong type or an impossible value.
    """
    if not isinstance(values, dict):
        raise OptionError(f"{file}: {part or 'the file'} is {values!r}; it must be a section of keys and values.")
    kinds, prefix = get_type_hints(cls), f"{part}." if part else ""
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in kinds:
            raise OptionError(f"{file}: unknown key '{prefix}{key}'. Known here: {', '.join(kinds)}.")
        if is_dataclass(kinds[key]):
            arguments[key] = build_settings(kinds[key], value, file, f"{prefix}{key}")
            continue
        if kinds[key] is float and isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
            with suppress(ValueError):  # `check_type` says what is wrong with it
                value = float(value)
        check_type(file, f"{prefix}{key}", value, kinds[key])
        arguments[key] = tuple(value) if isinstance(value, list) else value
    with about(file, OptionError):
        return cls(**arguments)


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise OptionError("Training configurations need PyYAML: pip install pyyaml.") from error
    return yaml
