"""Write the templates in `workflows/` from the graphs described here, and the English locale, by the schemas of a running ComfyUI.

python docs/make_workflows.py http://127.0.0.1:8188
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from workflow_graph import PREFIX, Graph, Node, Output, inputs_of

FOLDER = Path(__file__).parents[1] / "workflows"


DEMO = "demo (comes with the pack)"
DEMO_SAMPLER = {"steps": 4, "appearance_guidance": 1.0, "motion_guidance": 1.0}
PORTRAIT, DRIVING, OTHER = "portrait.png", "driving.mp4", "driving2.mp4"


FIRST_TIME = (
    "\n\n**The first time:** MediaPipe's face model (4 MB) may be missing. Switch **start** on in *Download HunyuanPortrait*, press Run; "
    "then switch it off."
)


def quick_start(schemas: dict[str, Any]) -> Graph:
    """Everything drawn: nothing to download, nothing to upload."""
    g = Graph(
        schemas,
        "## HunyuanPortrait: quick start\nPress **Run**. A drawn person takes on what another one does; the small weights that come "
        "with the pack do it in about a minute on a CPU.\n\nChange **pair** for other people. For photographs open the template "
        "*HunyuanPortrait-2-animate-a-portrait*." + FIRST_TIME,
    )
    load, faces = g.add("Load", 0, weights=DEMO), g.add("DrawnFaces", 0)
    g.add("Download", 0, what="faces")
    portrait = g.add("FaceCrop", 1, analyzer=load["analyzer"], images=faces["portrait"], crop="whole")
    driving = g.add("FaceCrop", 1, analyzer=load["analyzer"], video=faces["driving"], crop="whole", on_missing="hold")
    animate(g, load, portrait, driving, 2, demo=True, sampler=DEMO_SAMPLER)
    return g


def animate(
    g: Graph, load: Node, portrait: Node, driving: Node, column: int, *, demo: bool, sampler: dict[str, Any], save: bool = True, **more: Any
) -> Node:
    """From two tracks to a saved video; returns the decoder."""
    motion = more.pop("motion", None) or encode(g, load, driving, column)
    appearance = g.add("AppearanceEncode", column, model=load["model"], vae=load["vae"], portrait=portrait["face_track"])
    if demo:
        more["options"] = g.add("SamplerOptions", column, pad_frames=0, noise="shared")["options"]
    latent = g.add(
        "Sampler", column + 1, model=load["model"], appearance=appearance["appearance"], motion=motion["motion"], **sampler, **more
    )
    decoded = g.add("Decode", column + 1, latent=latent["latent"], vae=load["vae"])
    if save:
        finish(g, decoded["images"], driving, column + 2)
    return decoded


def encode(g: Graph, load: Node, driving: Node, column: int) -> Node:
    """Intensity and motion of a driving track."""
    intensity = g.add("IntensityEstimate", column, face_track=driving["face_track"])
    return g.add("MotionEncode", column, model=load["model"], face_track=driving["face_track"], intensity=intensity["intensity"])


def finish(g: Graph, images: Output, driving: Node, column: int, *, sound: bool = True) -> None:
    """Core's own video blocks, at the driving track's rate and, unless its times were changed, with its sound."""
    audio = {"audio": driving["audio"]} if sound else {}
    video = g.add("CreateVideo", column, images=images, fps=driving["fps"], **audio)
    g.add("SaveVideo", column, video=video["VIDEO"], filename_prefix="video/HunyuanPortrait")


def released(schemas: dict[str, Any], text: str) -> tuple[Graph, Node, Node]:
    """A graph with the released weights and a portrait."""
    g = Graph(
        schemas,
        text + "\n\nThe released weights (8 GB, **academic and research use only**) go to `models/HunyuanPortrait`: the block "
        "*Download HunyuanPortrait* fetches them.",
    )
    return g, g.add("Load", 0, weights=PREFIX), g.add("LoadImage", 0, image=PORTRAIT)


def crops(g: Graph, load: Node, picture: Node, column: int = 1, *, file: str = DRIVING, **options: Any) -> tuple[Node, Node]:
    """Tracks of the portrait and of a driving video."""
    video = g.add("LoadVideo", 0, file=file)
    portrait = g.add("FaceCrop", column, analyzer=load["analyzer"], images=picture["IMAGE"])
    driving = g.add("FaceCrop", column, analyzer=load["analyzer"], video=video["VIDEO"], on_missing="interpolate", **options)
    return portrait, driving


def animate_a_portrait(schemas: dict[str, Any]) -> Graph:
    """The square alone, sound kept."""
    g, load, picture = released(
        schemas, "## Animate a portrait\nThe square around the face takes on the motion of the video; its sound is kept."
    )
    portrait, driving = crops(g, load, picture)
    decoded = animate(g, load, portrait, driving, 2, demo=False, sampler={}, save=False)
    finish(g, decoded["images"], driving, 4)
    return g


def full_picture(schemas: dict[str, Any]) -> Graph:
    """Pasted back."""
    g, load, picture = released(
        schemas, "## Full picture\nThe animated square is pasted back into the untouched picture, with a soft border."
    )
    portrait, driving = crops(g, load, picture)
    decoded = animate(g, load, portrait, driving, 2, demo=False, sampler={}, save=False)
    pasted = g.add("PasteBack", 4, images=decoded["images"], portrait=portrait["face_track"])
    finish(g, pasted["images"], driving, 4)
    return g


def two_drivers(schemas: dict[str, Any]) -> Graph:
    """Expression of one, head of another."""
    g, load, picture = released(
        schemas,
        "## Expression from one video, head from another\nMotion Mix takes the head's rotation of the second video. "
        "*relative* adds its turns to where the first one looks.",
    )
    portrait, driving = crops(g, load, picture)
    second = g.add("FaceCrop", 1, analyzer=load["analyzer"], video=g.add("LoadVideo", 0, file=OTHER)["VIDEO"], on_missing="interpolate")
    first, other = encode(g, load, driving, 2), encode(g, load, second, 2)
    mixed = g.add("MotionMix", 3, motion=first["motion"], other=other["motion"], relative=True)
    animate(g, load, portrait, driving, 3, demo=False, sampler={}, motion=mixed)
    return g


def long_video(schemas: dict[str, Any]) -> Graph:
    """Windows, and parts of a video."""
    g, load, picture = released(
        schemas,
        "## Long video\nThe video is read frame by frame and sampled in windows: the card's memory does not "
        "grow with its length, main memory by a few MB a frame. *frames* in Face Crop says how much of it to use (0: all).\n\n"
        "A smaller window needs less memory.",
    )
    portrait, driving = crops(g, load, picture, frames=0)
    options = g.add("SamplerOptions", 2)
    decoded = animate(g, load, portrait, driving, 2, demo=False, sampler={}, save=False, options=options["options"])
    pasted = g.add("PasteBack", 4, images=decoded["images"], portrait=portrait["face_track"])
    finish(g, pasted["images"], driving, 4)
    return g


def several_faces(schemas: dict[str, Any]) -> Graph:
    """Two faces of one picture, each with a driver."""
    g, load, picture = released(
        schemas,
        "## Several faces\nEach face of the picture has its own Face Crop (*leftmost*, *rightmost*) and its own driver. The "
        "second Paste Back goes *onto* the frames of the first. Motion Edit brings both to the frame rate of the first driver, whose "
        "sound is kept.",
    )
    onto: dict[str, Any] = {}
    first: Node | None = None
    for number, (which, file) in enumerate((("leftmost", DRIVING), ("rightmost", OTHER))):
        column = 1 + 5 * number
        video = g.add("LoadVideo", 0, file=file)
        portrait = g.add("FaceCrop", column, analyzer=load["analyzer"], images=picture["IMAGE"], which=which)
        driving = g.add("FaceCrop", column, analyzer=load["analyzer"], video=video["VIDEO"], on_missing="interpolate")
        first = first or driving  # whose rate and sound the video gets
        motion = g.add("MotionEdit", column + 1, motion=encode(g, load, driving, column + 1)["motion"], fps=first["fps"])
        decoded = animate(g, load, portrait, driving, column + 2, demo=False, sampler={}, save=False, motion=motion)
        pasted = g.add("PasteBack", column + 4, images=decoded["images"], portrait=portrait["face_track"], region="face", **onto)
        onto = {"onto": pasted["images"], "beside": portrait["face_track"]}
    assert first is not None
    finish(g, pasted["images"], first, 11)
    return g


def motion_template(schemas: dict[str, Any]) -> Graph:
    """Save a motion; edit and reuse it."""
    g, load, picture = released(
        schemas,
        "## Motion templates\nMotion Save writes the motion to `output/motions`; it fits every portrait. Motion Edit makes it a "
        "little stronger, smoother, and a loop, which the driver's sound would not fit.\n\n"
        "To reuse a saved one, put Motion Load in the place of Motion Encode.",
    )
    portrait, driving = crops(g, load, picture)
    motion = encode(g, load, driving, 2)
    g.add("MotionSave", 3, motion=motion["motion"])
    edited = g.add("MotionEdit", 3, motion=motion["motion"], expression=1.2, smooth=3, end="loop")
    decoded = animate(g, load, portrait, driving, 3, demo=False, sampler={}, save=False, motion=edited)
    finish(g, decoded["images"], driving, 5, sound=False)
    return g


def every_stage(schemas: dict[str, Any]) -> Graph:
    """The drawn people again, each stage shown."""
    g = Graph(
        schemas,
        "## Every stage\nWhat each block makes, on drawn people and the small weights: crops, intensity, pose, track, result, and the "
        "exact truth beside it.",
    )
    load, faces = g.add("Load", 0, weights=DEMO), g.add("DrawnFaces", 0, frames=24)
    portrait = g.add("FaceCrop", 1, analyzer=load["analyzer"], images=faces["portrait"], crop="whole")
    driving = g.add("FaceCrop", 1, analyzer=load["analyzer"], video=faces["driving"], crop="whole", on_missing="hold")
    g.add("PreviewImage", 1, images=driving["motion_crop"])
    intensity = g.add("IntensityEstimate", 2, face_track=driving["face_track"])
    g.add("PreviewImage", 2, images=intensity["curves"])
    g.add("PreviewAny", 2, source=intensity["levels"])
    pose = g.add("PoseAlign", 2, face_track=driving["face_track"], portrait=portrait["face_track"])
    g.add("PreviewImage", 3, images=pose["preview"])
    g.add("TrackPreview", 3, face_track=driving["face_track"], intensity=intensity["intensity"], pose=pose["pose"])
    motion = g.add("MotionEncode", 3, model=load["model"], face_track=driving["face_track"], intensity=intensity["intensity"])
    decoded = animate(g, load, portrait, driving, 4, demo=True, sampler=DEMO_SAMPLER, save=False, motion=motion, pose=pose["pose"])
    g.add("PreviewImage", 6, images=decoded["images"])
    g.add("PreviewImage", 6, images=faces["truth"])
    return g


TEMPLATES = {
    "1-quick-start": quick_start,
    "2-animate-a-portrait": animate_a_portrait,
    "3-full-picture": full_picture,
    "4-expression-and-head-of-two-videos": two_drivers,
    "5-long-video": long_video,
    "6-several-faces": several_faces,
    "7-motion-template": motion_template,
    "8-every-stage": every_stage,
}


def main(address: str) -> None:
    """Write every template."""
    with urllib.request.urlopen(f"{address}/object_info") as answer:
        schemas = json.load(answer)
    for name, make in TEMPLATES.items():
        path = FOLDER / f"{PREFIX}-{name}.json"
        path.write_text(json.dumps(make(schemas).json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        sys.stdout.write(f"{path}\n")
    path = FOLDER.parent / "locales" / "en" / "nodeDefs.json"
    path.write_text(json.dumps(english(schemas), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path}\n")


def english(schemas: dict[str, Any]) -> dict[str, Any]:
    """The schemas' own words in the form of a locale, for translators to start from."""
    return {
        name: {
            "display_name": info["display_name"],
            "description": info["description"],
            "inputs": {key: {"name": key, "tooltip": spec[1]["tooltip"]} for key, (spec, _) in inputs_of(info).items()},
            "outputs": {
                str(slot): {"name": said, "tooltip": tooltip}
                for slot, (said, tooltip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
            },
        }
        for name, info in schemas.items()
        if name.startswith(PREFIX)
    }


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8188")
