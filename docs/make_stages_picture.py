"""Draws docs/stages.png: what each stage makes of a drawn portrait and a drawn driving clip.

python docs/make_stages_picture.py WEIGHTS_FOLDER docs/stages.png
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hp_core import AnimateOptions, FaceTrack, PortraitPipeline, create_analyzer, result
from hp_core.demo.__main__ import write_inputs
from hp_core.face.crop import arcface_align, motion_box
from hp_core.image import load_image
from hp_core.video import probe, read_frames

SIDE, GAP, LABEL = 240, 16, 24
FRAME = 30  # of the driving clip


def marked(picture: np.ndarray, track: FaceTrack, i: int) -> Image.Image:
    """The picture with the square crop, the motion crop and the points drawn in."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for x, y, _ in track.landmarks[i] if track.landmarks is not None else ():
        draw.point((x, y), fill=(120, 255, 160))
    draw.rectangle(track.square, outline=(255, 220, 80), width=3)
    draw.rectangle(motion_box(track.five_points[i], track.boxes[0]), outline=(90, 180, 255), width=3)
    for x, y in track.five_points[i]:
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(255, 80, 80))
    return image


def heat(values: np.ndarray) -> Image.Image:
    """A (rows, columns) array as grey levels."""
    low, high = np.percentile(values, (2, 98))
    return Image.fromarray((np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8))


def main(weights: Path, target: Path) -> None:
    """Run the stages and lay their values out."""
    with tempfile.TemporaryDirectory() as folder:
        portrait, driving = write_inputs(Path(folder))
        out = Path(folder) / "out.mp4"
        pipeline = result(PortraitPipeline.load(weights, analyzer=create_analyzer()))
        picture, info = load_image(portrait), probe(driving)
        frames = list(read_frames(driving))
        source = result(pipeline.face_crop([picture], total=1, crop="whole"))
        track = result(pipeline.face_crop(frames, total=info.frames, fps=info.fps, crop="whole"))
        intensity = pipeline.intensity(track)
        motion = result(pipeline.motion(track, intensity))
        appearance = pipeline.appearance(source)
        result(pipeline.animate(portrait, driving, out, options=AnimateOptions(crop="whole", view="crop")))
        last = list(read_frames(out))[FRAME]
    state = "result" if pipeline.config.trained else "result (untrained weights)"
    panels = [
        ("portrait: face, points, crops", marked(picture, source, 0)),
        ("square crop", Image.fromarray(source.portrait_crop)),
        ("ArcFace alignment", Image.fromarray((arcface_align(source.portrait_crop, source.crop_points) * 255).astype(np.uint8))),
        (f"appearance: {appearance.tokens.shape[1]} tokens", heat(appearance.tokens[0].numpy())),
        (f"driving frame {FRAME}", marked(frames[FRAME], track, FRAME)),
        ("expression: motion crop", Image.fromarray(track.motion_crops[FRAME])),
        (f"motion: tokens, levels {intensity.expression_levels.tolist()}", heat(motion.tokens[:, 0, :-6].numpy())),
        (state, Image.fromarray(last)),
    ]
    columns = 4
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (columns * (SIDE + GAP) + GAP, rows * (SIDE + LABEL + GAP) + GAP), (250, 250, 250))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for i, (title, image) in enumerate(panels):
        x, y = GAP + (i % columns) * (SIDE + GAP), GAP + (i // columns) * (SIDE + LABEL + GAP)
        draw.text((x, y), title, fill=(40, 40, 40), font=font)
        sheet.paste(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y + LABEL))
    sheet.save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
