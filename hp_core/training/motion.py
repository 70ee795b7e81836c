"""Pre-training of the motion encoders: redraw a driving frame from another frame of the person and the motion (MegaPortraits).

Nothing but the encoders' few numbers tells the generator how the driving frame differs from the source, so they must hold the
motion; colours, proportions and place of the crops are changed at random, and in a rendered world the crops show somebody else,
so that they hold no more. The generator is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from hp_core.errors import OptionError
from hp_core.motion.encoders import ExpressionEncoder, HeadPoseEncoder
from hp_core.motion.resnet import BasicBlock, Bottleneck
from hp_core.training.augment import colour_jitter, crop_jitter, to_batch
from hp_core.training.processes import units
from hp_core.training.regions import region_weight
from hp_core.training.settings import MotionTraining
from hp_core.training.store import Store
from hp_core.training.trainer import step_seed
from hp_core.training.vae import to_signed
from hp_core.vae import to_uint8

TRUTHS = ("rotation", "translation", "expression")
_SHOWN = 8  # held-out clips of the validation's video, side by side: encoders have a widest picture
_DEGREES = 30.0  # that count as one, beside translations and features of about one


class FilmBlock(nn.Module):
    """Residual block whose norms are scaled and shifted by the motion (Perez et al. 2018)."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.film = nn.Linear(condition, 4 * channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (n, channels, height, width), condition (n, condition) -> like x."""
        out = x
        for conv, film in zip(self.convs, self.film(condition)[:, :, None, None].chunk(2, dim=1), strict=True):
            scale, shift = film.chunk(2, dim=1)
            out = conv(F.silu(F.group_norm(out, 8) * (1 + scale) + shift))
        return x + out


class Generator(nn.Module):
    """Source picture and two motions to the driving picture: features are warped by a flow, then redrawn."""

    def __init__(self, *, width: int, motion: int) -> None:
        super().__init__()
        condition = 8 * width
        self.motion = nn.Sequential(nn.Linear(2 * motion, condition), nn.SiLU(), nn.Linear(condition, condition))
        self.to_half = nn.Conv2d(3, width, 5, 2, 2)
        self.to_quarter = nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.to_eighth = nn.Conv2d(2 * width, 4 * width, 3, 2, 1)
        self.plan = nn.ModuleList(FilmBlock(4 * width, condition) for _ in range(2))
        self.flow = nn.Conv2d(4 * width, 2, 3, padding=1)
        nn.init.zeros_(self.flow.weight)  # at first nothing moves
        self.draw = nn.ModuleList(FilmBlock(4 * width, condition) for _ in range(2))
        self.skip = nn.Conv2d(2 * width, 4 * width, 1)
        self.decode = nn.Sequential(
            nn.Conv2d(4 * width, 2 * width, 3, padding=1), nn.SiLU(), nn.Conv2d(2 * width, 12, 3, padding=1), nn.PixelShuffle(2)
        )

    def forward(self, source: Tensor, source_motion: Tensor, driving_motion: Tensor) -> Tensor:
        """source (n, 3, S, S) in -1..1, motions (n, m) -> (n, 3, S / 2, S / 2)."""
        condition = self.motion(torch.cat([source_motion, driving_motion], dim=1))
        quarter = F.silu(self.to_quarter(F.silu(self.to_half(source))))
        eighth = self.to_eighth(quarter)
        plan = eighth
        for block in self.plan:
            plan = block(plan, condition)
        flow = self.flow(F.silu(plan)).float()
        x = warp(eighth, flow)
        for block in self.draw:
            x = block(x, condition)
        carried = warp(quarter, F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False))
        return self.decode(F.interpolate(x, scale_factor=2, mode="nearest") + self.skip(carried))


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """features (n, c, height, width) fetched from where flow (n, 2, height, width), in half sides, points; float32."""
    still = torch.eye(2, 3, device=flow.device).expand(len(flow), -1, -1)
    grid = F.affine_grid(still, list(features.shape), align_corners=False) + rearrange(flow, "n xy h w -> n h w xy")
    return F.grid_sample(features.float(), grid, padding_mode="border", align_corners=False)


class MotionLoss(nn.Module):
    """The two encoders, the generator and a linear reading of the expression."""

    def __init__(
        self, expression: ExpressionEncoder, head_pose: HeadPoseEncoder, config: MotionTraining, *, feature: int, spread: dict[str, Tensor]
    ) -> None:
        super().__init__()
        self.expression, self.head_pose, self.config = expression, head_pose, config
        for name, deviation in spread.items():
            self.register_buffer(f"spread_{name}", deviation, persistent=False)
        labels = len(spread["expression"]) if "expression" in spread else 0
        self.generator = Generator(width=config.width, motion=feature + 6)
        self.reading = nn.Linear(feature, labels) if labels else None
        self._no_split_modules = units(self, BasicBlock, Bottleneck)

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        points: Tensor,
        source_crops: Tensor,
        source_heads: Tensor,
        crops: Tensor,
        heads: Tensor,
        **truth: Tensor,
    ) -> dict[str, Tensor]:
        """source, target (n, 3, S, S) in -1..1; points (n, 5, 2) of the target; crops and heads (n, 3, M, M) in 0..1, those of the
        source of each row that is redrawn (`MotionTraining.drawn_stride`) alone. Truths, where known: ``rotation`` (n, 3) in
        degrees, ``translation`` (n, 3), ``expression`` (n, labels)."""
        driving = self.read(crops, heads)
        # Squares, in deviations of the truth: a blink is rare, and an absolute error would be least without it.
        metrics = {
            name: ((driving[name].float() - truth[name]) / getattr(self, f"spread_{name}")).square().mean()
            for name in TRUTHS
            if name in truth and name in driving
        }
        loss = self.config.labels * sum(metrics.values(), source.new_zeros(()))
        if self.config.reconstruction:
            part = slice(None, None, self.config.drawn_stride)
            drawn = self.generator(source[part], vector(self.read(source_crops, source_heads)), vector(driving)[part]).float()
            half = F.avg_pool2d(target[part], 2)
            weight = region_weight(points[part], target.shape[-1], half.shape[-1], face=1.0, features=3.0)
            differs = ((drawn - half).abs() * weight).mean(dim=(1, 2, 3))
            # Each picture by its own weights: by those of all, parts of a batch would not add up to the whole.
            metrics["drawn"] = (differs / weight.mean(dim=(1, 2, 3))).mean()
            loss = loss + self.config.reconstruction * metrics["drawn"]
        return {"loss": loss, **metrics}

    def read(self, crops: Tensor, heads: Tensor) -> dict[str, Tensor]:
        """What the encoders say: ``feature`` (n, E), ``rotation`` (n, 3) in degrees, ``translation`` (n, 3), ``expression``."""
        feature, (rotation, translation) = self.expression(crops), self.head_pose(heads)
        said = {"feature": feature, "rotation": rotation, "translation": translation}
        return said if self.reading is None else said | {"expression": self.reading(feature)}


def vector(motion: dict[str, Tensor]) -> Tensor:
    """The generator's condition: (n, E + 6)."""
    return torch.cat([motion["feature"], motion["rotation"] / _DEGREES, motion["translation"]], dim=1)


def check_share(config: MotionTraining, pairs: int) -> None:
    """Raise `OptionError` where parts of ``pairs`` pairs of a batch would have others redrawn than the whole batch has."""
    if pairs < config.optim.batch and pairs % config.drawn_stride:
        raise OptionError(
            f"motion.drawn_stride is {config.drawn_stride} and each part of a batch has {pairs} pairs; parts must be multiples of the "
            "stride, or other pairs are redrawn than on one process. Set another optim.batch, accumulate or drawn_stride."
        )


class MotionTask:
    """Pairs of frames of one clip.

    Args:
        export_to: called with the name of a module (`expression`, `headpose`) and its tensors.

    Raises:
        OptionError: see `truths_of`.
    """

    def __init__(
        self,
        expression: ExpressionEncoder,
        head_pose: HeadPoseEncoder,
        config: MotionTraining,
        store: Store,
        held_out: Store,
        export_to: Callable[[str, dict[str, Tensor]], None],
    ) -> None:
        self.config, self.store, self.held_out, self.export_to = config, store, held_out, export_to
        feature = expression.resnet50.fc.out_features
        torch.manual_seed(config.optim.seed)
        self.truths = truths_of(store, held_out)
        spread = spread_of(store, self.truths)
        self.loss = MotionLoss(expression, head_pose, config, feature=int(feature), spread=spread)
        self.model: nn.Module = self.loss

    def batch(self, step: int, rows: range) -> dict[str, Tensor]:
        """Two random frames of a clip each; the crops' colours, place and proportions are changed."""
        rng = np.random.default_rng(step_seed(self.config.optim.seed, step))
        count, stride = self.config.optim.batch, self.config.drawn_stride
        check_share(self.config, len(rows))
        clips, parts, seeds = rng.integers(len(self.store), size=count), rng.random((count, 2)), rng.integers(2**62, size=count)
        items = [self._pair(self.store, int(clips[row]), parts[row]) for row in rows]
        batch = _collated(items, stride, self.truths)
        for name in ("source_crops", "crops", "source_heads", "heads"):
            # Of its own for each process, so that no row depends on how many there are.
            own = [np.random.default_rng([int(seed), len(name)]) for seed in seeds[rows.start : rows.stop]]
            own = own[::stride] if name.startswith("source") else own
            looks = [self._jittered(image[None], name, rng) for image, rng in zip(batch[name], own, strict=True)]
            batch[name] = torch.cat(looks)
        return batch

    def _jittered(self, image: Tensor, name: str, rng: np.random.Generator) -> Tensor:
        """One crop (1, 3, M, M) in other colours; the expression encoder's also elsewhere and in other proportions."""
        image = colour_jitter(image, self.config.jitter, rng)
        if name.endswith("heads"):
            return image  # its place is what the head-pose encoder reads
        return crop_jitter(image, shift=self.config.shift, stretch=2 * self.config.shift, rng=rng)

    @torch.no_grad()
    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Errors on held-out clips without augmentation, and of each truth the share of variance explained; a video of clips side by
        side: source, truth and what is redrawn."""
        from hp_core.video import VideoWriter

        device = next(self.loss.parameters()).device
        parts = np.stack([np.linspace(0, 0.99, 8), np.roll(np.linspace(0, 0.99, 8), 3)], axis=1)
        said: dict[str, list[Tensor]] = {}
        true: dict[str, list[Tensor]] = {}
        errors, shown = [], []
        for index in range(len(self.held_out)):  # one by one: all of them at once do not fit beside an optimiser
            batch = _collated([self._pair(self.held_out, index, part) for part in parts], 1, self.truths)
            batch = {name: value.to(device) for name, value in batch.items()}
            driving, source = (self.loss.read(batch[f"{of}crops"], batch[f"{of}heads"]) for of in ("", "source_"))
            for name in TRUTHS:
                if name in batch and name in driving:
                    said.setdefault(name, []).append(driving[name].cpu())
                    true.setdefault(name, []).append(batch[name].cpu())
            drawn = self.loss.generator(batch["source"], vector(source), vector(driving))
            half = F.avg_pool2d(batch["target"], 2)
            errors.append(float((drawn - half).abs().mean()))
            if index < _SHOWN:
                shown.append(to_uint8(torch.cat([F.avg_pool2d(batch["source"], 2), half, drawn], dim=2)))  # (pairs, 3 h, w, 3)
        figures = {
            f"{name}_{column}": share
            for name in said
            for column, share in enumerate(explained(torch.cat(said[name]), torch.cat(true[name])))
        } | {"drawn": float(np.mean(errors))}
        with VideoWriter(folder / "validation.mp4", fps=Fraction(2)) as writer:
            for frame in torch.cat(shown, dim=2).numpy():
                writer.write(frame)
        return figures

    def export(self, state: dict[str, Tensor]) -> None:
        """Write both encoders; generator and reading are not kept."""
        for name, prefix in (("expression", "expression."), ("headpose", "head_pose.")):
            self.export_to(name, {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)})

    def _pair(self, store: Store, index: int, parts: np.ndarray) -> dict[str, Tensor]:
        frames = (parts * store.lengths[index]).astype(int)
        return store.read(index, ("frames", "motion_crops", "head_crops", "crop_points", *TRUTHS), frames)


def truths_of(*stores: Store) -> tuple[str, ...]:
    """Which of `TRUTHS` the clips have.

    Raises:
        OptionError: some clips have one that others have not.
    """
    held = {store.keys[index]: store.names(index) for store in stores for index in range(len(store))}
    for name in TRUTHS:
        without = [key for key, names in held.items() if name not in names]
        if 0 < len(without) < len(held):
            raise OptionError(
                f"{len(without)} of {len(held)} clips, the first {without[0]}, have no {name}, and the others have. Make all shards with "
                "one face analyzer."
            )
    return tuple(name for name in TRUTHS if all(name in names for names in held.values()))


def spread_of(store: Store, truths: Iterable[str]) -> dict[str, Tensor]:
    """Deviation of each truth's columns over the clips, (columns,)."""
    clips = range(0, len(store), max(len(store) // 100, 1))
    read = [store.read(index, truths, slice(None)) for index in clips]
    return {name: torch.cat([item[name] for item in read]).std(0).clamp(min=1e-3) for name in truths}


def _collated(items: list[dict[str, Tensor]], stride: int, truths: Iterable[str]) -> dict[str, Tensor]:
    """Frame 0 of each pair is the source, frame 1 the target; crops are (n, 3, M, M) in 0..1, of the source those of every
    ``stride``-th pair.
    """
    frames = torch.stack([to_signed(item["frames"]) for item in items])
    batch = {"source": frames[:, 0], "target": frames[:, 1], "points": torch.stack([item["crop_points"][1] for item in items])}
    for name, key in (("crops", "motion_crops"), ("heads", "head_crops")):
        batch[name] = to_batch(torch.stack([item[key][1] for item in items]))
        batch[f"source_{name}"] = to_batch(torch.stack([item[key][0] for item in items[::stride]]))
    return batch | {name: torch.stack([item[name][1] for item in items]) for name in truths}


def explained(guess: Tensor, truth: Tensor) -> list[float]:
    """R squared of each column of (n, columns)."""
    rest = (guess.float() - truth).square().sum(0)
    return (1 - rest / (truth - truth.mean(0)).square().sum(0).clamp(min=1e-9)).tolist()
