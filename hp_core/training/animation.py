"""The paper's stage (3.5, 4.1): the UNet learns to be steered by appearance and motion, on clips whose frozen features are cached."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from hp_core.appearance.encode import vit_normalise
from hp_core.appearance.vit import Block
from hp_core.config import MotionConfig, PortraitConfig, PoseStyle
from hp_core.motion.encode import motion_tokens
from hp_core.motion.intensity import EXPRESSION_RANGE, HEAD_RANGE, chunk_intensity, quantise
from hp_core.motion.refiner import MemoryBlock
from hp_core.pose.align import black_pose
from hp_core.pose.draw import LIMBS, draw_skeleton
from hp_core.pose.keypoints import nose_and_neck
from hp_core.sampling.denoise import denoise, noises
from hp_core.sampling.schedule import clean_prediction, make_schedule
from hp_core.training.augment import to_batch
from hp_core.training.chroma import colour_loss
from hp_core.training.curves import COUNT
from hp_core.training.patch_encoder import PatchDecoder
from hp_core.training.perceptual import PerceptualLoss
from hp_core.training.processes import units
from hp_core.training.regions import region_weight
from hp_core.training.settings import AnimationTraining
from hp_core.training.sigma import noisy_input, sample_sigmas, velocity
from hp_core.training.store import Store
from hp_core.training.trainer import step_generator, step_seed
from hp_core.unet.model import PortraitTransformer
from hp_core.unet.temporal import PortraitResBlock, set_spatial_only
from hp_core.vae import decode_chunks, to_uint8
from hp_core.values import PoseMaps

TRAINED = ("unet", "motion_proj", "dino", "image_proj", "pose_guider")
"""Modules of this stage, by their published files' names."""

_LEAN = 0.2  # most that an estimated neck stands beside the eyes, in its lengths: those of a turned head are not above its ears

_SHOWN = 8  # held-out clips of the validation's video, side by side: encoders have a widest picture
_BANDS = {"low": (0.0, 1.0), "mid": (1.0, 20.0), "high": (20.0, float("inf"))}  # of sigma, for the curves


class AnimationLoss(nn.Module):
    """Every trained network of the stage; forward is the v loss (training 4a)."""

    def __init__(self, modules: dict[str, nn.Module], config: AnimationTraining, model: PortraitConfig) -> None:
        super().__init__()
        for name in TRAINED:
            self.add_module(name, modules[name])
        self.config, self.translation = config, model.motion.translation
        self.scaling = model.vae["scaling_factor"]
        self.perceptual: PerceptualLoss | None = None
        if config.perceptual:
            self.perceptual = PerceptualLoss(modules["expression"], model.face.motion_size)  # type: ignore[arg-type]
        if config.perceptual or config.colour:
            self.pictures = PatchDecoder(modules["vae"])
        numbers = [model.sampling.fps, model.sampling.motion_bucket_id, model.sampling.noise_aug]
        self.register_buffer("time_ids", torch.tensor([numbers]), persistent=False)
        self._no_split_modules = units(self, PortraitResBlock, PortraitTransformer, Block, MemoryBlock)

    def forward(
        self,
        latents: Tensor,
        noise: Tensor,
        sigma: Tensor,
        reference: Tensor,
        vit: Tensor,
        id_embedding: Tensor,
        feature: Tensor,
        rotation: Tensor,
        translation: Tensor,
        expression_level: Tensor,
        head_level: Tensor,
        keep_appearance: Tensor,
        keep_motion: Tensor,
        poses: Tensor,
        pose_row: Tensor,
        weight: Tensor,
        points: Tensor,
    ) -> dict[str, Tensor]:
        """latents, noise (b, f, z, h, w), the former unscaled; sigma (b,); reference (b, z, h, w), unscaled; vit (b, 3, s, s)
        normalised; id_embedding (b, 512); feature (b, f, E); rotation, translation (b, f, 3); levels (b,) long; keep_* (b,) 0 or 1;
        poses (n, 3, S, S) uint8, the first one black; pose_row (b * f,) long into them; weight (b, f, z, h, w); points
        (b, f, 5, 2) in pixels of the frames."""
        batch, frames = latents.shape[:2]
        x0 = latents * self.scaling
        condition = reference * keep_appearance[:, None, None, None]
        sample = torch.cat([noisy_input(x0, noise, sigma), repeat(condition, "b z h w -> b f z h w", f=frames)], dim=2)
        v = self.unet(  # type: ignore[operator]
            sample,
            0.25 * sigma.log(),
            appearance=self.appearance_tokens(vit, id_embedding)[:, None] * keep_appearance[:, None, None, None],
            motion=self.motion(feature, rotation, translation, expression_level, head_level) * keep_motion[:, None, None, None],
            added_time_ids=self.time_ids.expand(batch, -1),  # type: ignore[operator]
            pose=self._guided(poses.float() / 255, pose_row, batch),
        )
        error = (v.float() - velocity(x0, noise, sigma)).square()
        per_clip = (error * weight).mean(dim=(1, 2, 3, 4))
        metrics = {"loss": per_clip.mean()}
        if self.config.perceptual or self.config.colour:
            level = sigma[:, None, None, None, None]
            clean = clean_prediction(x0 + level * noise, v.float(), level) / self.scaling
            told = (keep_motion * keep_appearance).repeat_interleave(frames)  # else there is nothing to see it by
            for name, value in self._seen(clean, latents, points, told).items():
                metrics[name] = value
                metrics["loss"] = metrics["loss"] + getattr(self.config, name) * value
        for name, (low, high) in _BANDS.items():
            inside = ((sigma >= low) & (sigma < high)).float()
            metrics[f"loss_{name}"] = (error.mean(dim=(1, 2, 3, 4)) * inside).sum()
            metrics[f"loss_{name}{COUNT}"] = inside.sum()
        return metrics

    def _seen(self, clean: Tensor, latents: Tensor, points: Tensor, told: Tensor) -> dict[str, Tensor]:
        """What is compared in pictures of (b, f, z, h, w), unscaled, in the frames that are ``told`` (b * f,)."""
        with torch.autocast(latents.device.type, enabled=False):  # as many digits as the pictures have
            drawn, truth = (self.pictures(rearrange(z, "b f z h w -> (b f) z h w")) for z in (clean, latents))
        at, differs = rearrange(points, "b f p xy -> (b f) p xy"), {}
        if self.perceptual is not None:
            differs["perceptual"] = self.perceptual(drawn, truth, at)
        if self.config.colour:
            differs["colour"] = colour_loss(drawn, truth, at, face=self.config.face, features=self.config.features)
        return {name: (value * told).mean() for name, value in differs.items()}

    def _guided(self, poses: Tensor, row: Tensor, batch: int) -> Tensor:
        """The pose guider's features (b, f, c, h, w) of the ``row`` (b * f,) of maps (n, 3, S, S) in 0..1 that each frame shows."""
        if self.config.optim.gradient_checkpointing:
            guided = checkpoint(self.pose_guider, poses, use_reentrant=False)
        else:
            guided = self.pose_guider(poses)  # type: ignore[operator]
        # Indexing by a tensor would add up a map's gradients in the order in which threads come, and no run could be repeated.
        # Under autocast the sum needs more digits than its terms have.
        taken = F.embedding(row, guided.flatten(1).float()).to(guided.dtype)
        return rearrange(taken, "(b f) (c h w) -> b f c h w", b=batch, c=guided.shape[1], h=guided.shape[2])

    def appearance_tokens(self, vit: Tensor, id_embedding: Tensor) -> Tensor:
        """(b, tokens, channels)."""
        return self.image_proj(self.dino(vit, id_embedding))  # type: ignore[operator]

    def motion(self, feature: Tensor, rotation: Tensor, translation: Tensor, expression_level: Tensor, head_level: Tensor) -> Tensor:
        """(b, f, tokens, channels)."""
        batch, frames = feature.shape[:2]

        def flat(x: Tensor) -> Tensor:
            return rearrange(x, "b f c -> (b f) c")

        levels = [level.repeat_interleave(frames) for level in (expression_level, head_level)]
        with torch.autocast(feature.device.type, enabled=False):  # as in inference: float16 would overflow, degrees would lose digits
            refined = self.motion_proj(flat(feature).float(), *levels)  # type: ignore[operator]
            tokens = motion_tokens(refined, flat(rotation), flat(translation), translation_rule=self.translation)
        return rearrange(tokens, "(b f) t c -> b f t c", b=batch)


class AnimationTask:
    """Windows of cached clips.

    Args:
        modules: the networks of `TRAINED`, ``vae`` for the validation's pictures, and ``expression`` for ``config.perceptual``.
        export_to: called with the name of a module and its tensors.
    """

    def __init__(
        self, modules: dict[str, nn.Module], config: AnimationTraining, model: PortraitConfig, store: Store, held_out: Store, export_to: Any
    ) -> None:
        self.config, self.portrait, self.store, self.held_out, self.export_to = config, model, store, held_out, export_to
        self.vae: Any = modules["vae"]
        self.loss = AnimationLoss(modules, config, model)
        self.model: nn.Module = self.loss
        self.channel_weight = channel_weights(store, config.variance_power)
        choose_trainable(self.loss, config)

    def batch(self, step: int, rows: range) -> dict[str, Tensor]:
        """Windows of random clips; everything random is drawn for the whole batch and then cut to ``rows``."""
        config, count = self.config, self.config.optim.batch
        rng = np.random.default_rng(step_seed(config.optim.seed, step))
        clips = rng.integers(len(self.store), size=count)
        seeds, state = rng.integers(2**62, size=count), rng.random(count)
        sigma = sample_sigmas(config.sigma, count, step_generator(config.optim.seed, step))
        items = [self._window(int(clips[row]), np.random.default_rng(int(seeds[row]))) for row in rows]
        stacked = {name: torch.stack([item[name] for item in items]) for name in items[0] if name != "pose"}
        keep_appearance = torch.from_numpy(state >= config.drop_all).float()
        keep_motion = torch.from_numpy(state >= config.drop_all + config.drop_motion).float()
        part = slice(rows.start, rows.stop)
        poses, pose_row = _pose_table([frame for item in items for frame in item["pose"]], self.portrait.face.image_size)
        return {
            **stacked,
            "sigma": sigma[part],
            "keep_appearance": keep_appearance[part],
            "keep_motion": keep_motion[part],
            "poses": poses,
            "pose_row": pose_row,
        }

    def _window(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """One clip's share of a batch: a window, a reference frame, and a frame for the identity."""
        config, length = self.config, self.store.lengths[index]
        frames = window_frames(length, config.frames, config.stride, rng)
        reference = 0 if rng.random() < config.first_reference else int(rng.integers(length))
        item = self.store.read(index, ("latents", "feature", "rotation", "translation", "crop_points"), frames)
        still = self.store.read(index, ("latents", "vit"), np.array([reference]))
        # Training takes the identity from any frame of the clip (paper 3.4).
        identity = self.store.read(index, ("id",), rng.integers(length, size=1))["id"][0]
        variant = int(rng.integers(item["feature"].shape[1]))
        expression_level, head_level = self._levels(self.store, index, frames)
        latents = item["latents"].float()
        side = latents.shape[-1]
        weight = region_weight(item["crop_points"], self.portrait.face.image_size, side, face=config.face, features=config.features)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        noise = torch.randn((1 if config.shared_noise else len(frames), *latents.shape[1:]), generator=generator)
        pose = self._pose(index, frames, rng)
        shown = rng.random() >= config.drop_translation[int(pose[0] is not None)]
        return {
            "latents": latents,
            "noise": noise.expand(len(frames), -1, -1, -1),
            "reference": still["latents"][0].float(),
            "vit": vit_normalise(to_batch(still["vit"]))[0],
            "id_embedding": identity,
            "feature": item["feature"][:, variant],
            "rotation": item["rotation"][:, variant],
            "translation": item["translation"][:, variant] * float(shown),
            "expression_level": torch.tensor(expression_level),
            "head_level": torch.tensor(head_level),
            "weight": weight / weight.mean() * self.channel_weight,
            "points": item["crop_points"],
            "pose": pose,
        }

    def _levels(self, store: Store, index: int, frames: np.ndarray) -> tuple[int, int]:
        """Intensity levels of the chunk about the window, at the window's stride, as inference finds them over its chunks."""
        rows = chunk_about(frames, self.portrait.motion.chunk, store.lengths[index])
        return intensity_levels(store.read(index, ("five_points",), rows)["five_points"].numpy(), self.portrait.motion)

    def _pose(self, index: int, frames: np.ndarray, rng: np.random.Generator) -> list[np.ndarray | None]:
        """Skeletons of the window, some without eyes, some edges left out, alike in all frames; None stands for black."""
        if rng.random() >= self.config.pose:
            return [None] * len(frames)
        kept = rng.random(len(LIMBS)) >= self.config.drop_edges
        shortest, longest = self.config.neck_length
        length = float(rng.uniform(shortest, longest))
        item = self.store.read(index, ("keypoints", "crop_points"), frames)
        if rng.random() < self.config.head_only:
            lean = float(rng.uniform(-_LEAN, _LEAN))
            points, kept[:] = nose_and_neck(item["crop_points"].numpy(), length, lean), True
        elif "keypoints" in item:
            points = item["keypoints"].numpy()
        else:
            return [None] * len(frames)
        style = PoseStyle(eyes=bool(rng.random() >= self.config.drop_eyes))
        return [draw_skeleton(frame, self.portrait.face.image_size, style, kept=kept) for frame in points]

    @torch.no_grad()
    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """PSNR of held-out clips, redrawn from their first frame; a video of reference, truth and result side by side."""
        from hp_core.video import VideoWriter

        device = next(self.loss.parameters()).device
        self.vae.to(device)
        errors, shown = [], []
        for index in range(len(self.held_out)):
            latents = self.held_out.read(index, ("latents",), slice(self.config.validation_frames))["latents"].float()
            drawn, truth = self.decoded(self.redraw(index, device)), self.decoded(latents)
            errors.append(((drawn.float() - truth.float()) / 255).square()[1:].mean())
            if index < _SHOWN:
                shown.append(torch.cat([truth[:1].expand_as(truth), truth, drawn], dim=1))
        length = min(len(rows) for rows in shown)
        video = torch.cat([rows[:length] for rows in shown], dim=2)
        with VideoWriter(folder / "validation.mp4", fps=Fraction(4)) as writer:
            for frame in video.numpy():
                writer.write(frame)
        return {"psnr": float(-10 * torch.log10(torch.stack(errors)).mean())}

    def redraw(self, index: int, device: torch.device) -> Tensor:
        """Latents (F, z, h, w) of held-out clip ``index``, or of its beginning, sampled from its first frame and its own motion; with
        its skeleton, where most clips are trained with theirs."""
        item = self.held_out.read(index, (*DRAWN_FROM, "keypoints"), slice(self.config.validation_frames))
        pose, size = None, self.portrait.face.image_size
        if self.config.pose > 0.5 and "keypoints" in item:
            table, rows = _pose_table([draw_skeleton(points, size, PoseStyle()) for points in item["keypoints"].numpy()], size)
            pose = PoseMaps(table, rows, "own")
        levels = self._levels(self.held_out, index, np.arange(len(item["latents"])))
        # The other cards wait meanwhile: in bfloat16, and in as few windows as cover the clip.
        fast = replace(self.portrait, sampling=replace(self.portrait.sampling, windows="line"))
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu" and self.config.optim.precision == "bf16"):
            return redraw(self.loss, fast, item, levels, pose=pose, steps=self.config.validation_steps, device=device)

    def decoded(self, latents: Tensor) -> Tensor:
        """Latents (F, z, h, w), unscaled, as frames (F, S, S, 3) uint8."""
        return torch.cat([to_uint8(frames) for _, frames in decode_chunks(self.vae, latents, chunk=self.portrait.sampling.decode_chunk)])

    def export(self, state: dict[str, Tensor]) -> None:
        """Write every trained module."""
        for name in TRAINED:
            self.export_to(name, {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")})


DRAWN_FROM = ("latents", "vit", "id", "feature", "rotation", "translation")
"""Of a clip's arrays, what `redraw` needs."""


@torch.no_grad()
def redraw(
    loss: AnimationLoss,
    portrait: PortraitConfig,
    item: dict[str, Tensor],
    levels: tuple[int, int],
    *,
    pose: PoseMaps | None = None,
    steps: int,
    device: torch.device,
) -> Tensor:
    """Latents (F, z, h, w), unscaled, of a clip sampled from its first frame and its own motion.

    Args:
        item: the arrays `DRAWN_FROM` of the clip, as `ClipEncoder` makes them.
        levels: of intensity, expression and head.
        pose: what the guider sees; None: black.
    """
    item = {name: item[name].to(device) for name in DRAWN_FROM}
    at = [torch.tensor([level], device=device) for level in levels]
    motion = loss.motion(*(item[name][None, :, 0] for name in ("feature", "rotation", "translation")), *at)[0]
    tokens = loss.appearance_tokens(vit_normalise(to_batch(item["vit"][:1].cpu())).to(device), item["id"][:1])
    sampling, scaling = portrait.sampling, portrait.vae["scaling_factor"]
    reference = item["latents"][:1].float()
    latents = reference
    noise = noises(len(motion), tuple(reference.shape[1:]), 0, sampling.noise)  # type: ignore[arg-type]
    for state in denoise(
        loss.unet,  # type: ignore[arg-type]
        loss.pose_guider,  # type: ignore[arg-type]
        noise=next(noise),
        fresh_noise=noise,
        reference_latent=reference,
        appearance=tokens,
        motion=motion,
        pose=black_pose(len(motion), (portrait.face.image_size,) * 2) if pose is None else pose,
        config=sampling,
        schedule=make_schedule(portrait.scheduler, steps, sampling.sampler),
        scaling_factor=scaling,
        device=device,
    ):
        latents = state.latents
    return latents / scaling


def intensity_levels(points: np.ndarray, config: MotionConfig) -> tuple[int, int]:
    """Levels of a chunk's expression and head intensity from its five points (F, 5, 2)."""
    expression, head = (np.array([value]) for value in chunk_intensity(points, config.intensity))
    return int(quantise(expression, EXPRESSION_RANGE, config.levels)[0]), int(quantise(head, HEAD_RANGE, config.levels)[0])


def choose_trainable(loss: AnimationLoss, config: AnimationTraining) -> None:
    """Freeze what the stage leaves alone: DINOv2 (but for its adapters) if so configured, what cannot reach the result in it, and
    the temporal layers when single frames are trained."""
    loss.train()
    for name in TRAINED:
        getattr(loss, name).requires_grad_(True)
    dino: Any = loss.dino
    dino.mask_token.requires_grad_(False)
    if config.freeze_vit:
        for name, parameter in dino.named_parameters():
            parameter.requires_grad_("adapter" in name)
    for adapter in (block.adapter for block in dino.blocks if block.adapter is not None):
        if adapter.cross_attn is not None and adapter.query == "image":  # the released adapters' convolutions lead nowhere
            for part in (adapter.branch1, adapter.branch2, adapter.branch3, adapter.cross_attn.image_proj):
                part.requires_grad_(False)
    if config.spatial_only:
        for name, parameter in loss.unet.named_parameters():  # type: ignore[union-attr]
            parameter.requires_grad_("temporal" not in name and "time_mixer" not in name and "time_pos_embed" not in name)
    set_spatial_only(loss.unet, config.spatial_only)  # type: ignore[arg-type]


def channel_weights(store: Store, power: float, *, clips: int = 64) -> Tensor:
    """(z, 1, 1), mean 1: variance of the latent channels over ``clips`` clips of ``store`` to ``power``."""
    rows = np.linspace(0, len(store) - 1, min(clips, len(store))).astype(int)
    latents = torch.cat([store.read(int(row), ("latents",), slice(None))["latents"].float() for row in rows])  # (n, z, h, w)
    weight = latents.var(dim=(0, 2, 3)).clamp(min=1e-6) ** power
    return (weight / weight.mean())[:, None, None]


def window_frames(length: int, frames: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of a window of ``frames`` frames, at a random place and a random stride of at most ``stride`` that fits; (frames,) int.

    A clip shorter than the window is held at its last frame.
    """
    widest = max(1, min(stride, (length - 1) // max(frames - 1, 1)))
    step = int(rng.integers(1, widest + 1))
    room = max(length - 1 - step * (frames - 1), 0)
    return np.minimum(int(rng.integers(room + 1)) + step * np.arange(frames), length - 1)


def chunk_about(frames: np.ndarray, chunk: int, length: int) -> np.ndarray:
    """Rows of the ``chunk`` frames about a window (of `window_frames`), at its stride; fewer in a short clip; (n,) int."""
    step = max(int(frames[1] - frames[0]), 1) if len(frames) > 1 else 1
    count = min(max(chunk, len(frames)), 1 + (length - 1) // step)
    first = int(np.clip(int(frames.mean()) - step * (count // 2), 0, length - 1 - step * (count - 1)))
    return first + step * np.arange(count)


def _pose_table(pictures: list[np.ndarray | None], size: int) -> tuple[Tensor, Tensor]:
    """Distinct pose maps (n, 3, S, S) uint8, black first, and each frame's row in them."""
    maps, rows = [np.zeros((size, size, 3), np.uint8)], []
    for picture in pictures:
        rows.append(0 if picture is None else len(maps))
        if picture is not None:
            maps.append(picture)
    return rearrange(torch.from_numpy(np.stack(maps)), "n h w c -> n c h w"), torch.tensor(rows)
