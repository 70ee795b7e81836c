"""What a person looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hp_core.demo.colour import Colour, mix, rgb
from hp_core.errors import OptionError

HAIR_STYLES = ("short", "bob", "long", "bun")
BEARDS = ("none", "stubble", "full", "moustache")
GLASSES = ("none", "round", "square")
CLOTHING = ("crew", "scoop", "vee", "shirt", "turtleneck")
BACKDROPS = ("glow", "gradient", "shapes")

_SKIN = ((255, 224, 200), (246, 205, 175), (232, 184, 148), (214, 160, 120), (186, 130, 92), (150, 100, 70), (112, 74, 52))
_HAIR = ((38, 30, 30), (62, 42, 32), (98, 62, 38), (146, 92, 50), (206, 160, 92), (168, 74, 40), (150, 146, 146))
_EYES = ((84, 52, 30), (120, 78, 40), (104, 118, 62), (70, 120, 158), (92, 140, 120), (104, 120, 134))
_LIPS = ((196, 98, 96), (184, 84, 88), (206, 112, 100), (172, 70, 80))
_CLOTHES = ((52, 84, 122), (146, 62, 66), (70, 110, 88), (214, 206, 192), (66, 64, 76), (206, 150, 70), (120, 88, 140), (64, 132, 142))
_BACKGROUND = ((176, 200, 208), (222, 204, 178), (190, 198, 172), (206, 186, 196), (150, 168, 186), (228, 220, 206), (172, 178, 206))


@dataclass(frozen=True)
class Identity:
    """What a person looks like. Colours are RGB in 0..255; measures are factors of the average face unless stated otherwise."""

    skin: Colour
    face_width: float
    face_length: float
    jaw_width: float
    hair: Colour
    hair_style: str
    """One of `HAIR_STYLES`."""
    hair_volume: float
    """How far the hair stands off the crown, in head units."""
    hairline: float
    """Height of the middle of the hairline, in head units: about -0.85 (high) to -0.45 (a fringe)."""
    parting: float
    """-1..1: where the hair parts, from image left to right; the hairline is lower on that side."""
    eye: Colour
    eye_size: float
    eye_spacing: float
    brow_thickness: float
    nose_size: float
    nose_width: float
    nose_tip: float
    """-1..1: from turned up to drooping."""
    ear_size: float
    ear_stand: float
    """0..1: how far the ears stand out."""
    beard: str
    """One of `BEARDS`."""
    glasses: str
    """One of `GLASSES`."""
    lip: Colour
    lip_thickness: float
    mouth_width: float
    clothes: Colour
    clothing: str
    """One of `CLOTHING`."""
    background: Colour
    accent: Colour
    """Second colour of the backdrop."""
    backdrop: str
    """One of `BACKDROPS`."""
    backdrop_turn: float
    """0..1: direction of the gradient, or arrangement of the shapes."""

    @staticmethod
    def sample(seed: int) -> Identity:
        """The person number ``seed``: the same seed gives the same person every time; `OptionError` where it is negative."""
        check_seed(seed)
        rng = np.random.default_rng([seed, 1])

        def pick(palette: Sequence[Colour]) -> Colour:
            return rgb(np.asarray(palette[int(rng.integers(len(palette)))]) + rng.uniform(-7, 7, 3))

        def between(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        def choice(names: Sequence[str]) -> str:
            return names[int(rng.integers(len(names)))]

        depth = between(0, len(_SKIN) - 1.001)
        skin = mix(_SKIN[int(depth)], _SKIN[int(depth) + 1], depth % 1)
        style = choice(HAIR_STYLES)
        beard = choice(BEARDS[1:]) if style in ("short", "bun") and rng.uniform() < 1 / 3 else "none"
        glasses = choice(GLASSES[1:]) if rng.uniform() < 1 / 8 else "none"
        background = pick(_BACKGROUND)
        return Identity(
            skin=skin,
            face_width=between(0.93, 1.06),
            face_length=between(0.94, 1.05),
            jaw_width=between(0.86, 1.14),
            hair=pick(_HAIR if depth < 3.5 else _HAIR[:3]),
            hair_style=style,
            hair_volume=between(0.08, 0.2),
            hairline=between(-0.84, -0.48),
            parting=between(-1, 1),
            eye=pick(_EYES if depth < 3.5 else _EYES[:2]),
            eye_size=between(0.92, 1.12),
            eye_spacing=between(0.96, 1.04),
            brow_thickness=between(0.7, 1.4),
            nose_size=between(0.85, 1.2),
            nose_width=between(0.85, 1.25),
            nose_tip=between(-1, 1),
            ear_size=between(0.8, 1.2),
            ear_stand=between(0, 1),
            beard=beard,
            glasses=glasses,
            lip=mix(pick(_LIPS), rgb(np.multiply(skin, (0.9, 0.7, 0.68))), 0.38),
            lip_thickness=between(0.8, 1.3),
            mouth_width=between(0.92, 1.1),
            clothes=pick(_CLOTHES),
            clothing=choice(CLOTHING),
            background=background,
            accent=mix(background, pick(_BACKGROUND), 0.6),
            backdrop=choice(BACKDROPS),
            backdrop_turn=between(0, 1),
        )


def check_seed(seed: int) -> None:
    """Raise `OptionError` for a negative ``seed``."""
    if seed < 0:
        raise OptionError(f"The seed is {seed}; people and performances are numbered from 0.")
