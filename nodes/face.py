"""Face Crop, and a look at what it found."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from comfy_api.latest import InputImpl, io, ui

from hp_core.config import ON_MISSING
from hp_core.face.choose import CHOICES
from hp_core.face.cropper import CROPS

from . import folders, host, sockets
from .schema import advanced, previews, schema

FINDERS = ("index", "point", "likeness")


class FaceCrop(io.ComfyNode):
    """One face followed through pictures or a video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "FaceCrop",
            "Face Crop",
            description="Finds a face in the first frame, follows it, and cuts the crops that the encoders need. One picture makes a "
            "portrait track, a video or several pictures a driving track.",
            search_aliases=["face detection", "face tracking", "crop face"],
            inputs=[
                sockets.Analyzer.Input("analyzer", tooltip="What finds the faces, from Load HunyuanPortrait."),
                io.Image.Input("images", optional=True, tooltip="Frames of one size, or one picture. Leave free if a video is connected."),
                io.Video.Input(
                    "video",
                    optional=True,
                    tooltip="Used instead of images if both are connected. A file is read frame by frame, about 0.4 MB of each stay in "
                    "memory; one that Trim Video has cut is read as a whole.",
                ),
                io.Image.Input(
                    "like",
                    optional=True,
                    tooltip="For which = likeness: a picture of the person meant, who is looked for again where they are lost.",
                ),
                sockets.Model.Input("model", optional=True, tooltip="For which = likeness: the set whose ArcFace compares."),
                io.Combo.Input(
                    "which",
                    options=[*CHOICES, *FINDERS],
                    default="largest",
                    tooltip="The face to follow, in the first frame that shows one. index: by falling size, see face_index. point: the "
                    "nearest to x, y, at most its side away. likeness: that of the picture like, compared by ArcFace. Default: largest.",
                ),
                io.Int.Input(
                    "face_index",
                    default=0,
                    min=0,
                    max=31,
                    tooltip="For which = index: number of the face by falling size, 0..31. Default: 0, the largest.",
                ),
                io.Combo.Input(
                    "on_missing",
                    options=list(ON_MISSING),
                    default="error",
                    tooltip="Frames without the face. error: stop and name the frame. hold: keep the last points. interpolate: between the "
                    "frames before and after. Released: none, it fails.",
                ),
                io.Combo.Input(
                    "crop",
                    options=list(CROPS),
                    default="face",
                    tooltip="face: a square around the first frame's face, as released. follow: a square that moves along, for driving "
                    "videos. whole: the whole picture, for pictures that are portrait crops already (the demo set wants this).",
                ),
                io.Int.Input(
                    "start",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="First frame to use, counted from 0; those before are skipped. Default: 0.",
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Most frames to use, from start on; fewer are faster, for a first look. Default: 0, all.",
                ),
                advanced(
                    io.Int.Input(
                        "x", default=0, min=0, max=100_000, tooltip="For which = point: its place in pixels from the left. Default: 0."
                    )
                ),
                advanced(
                    io.Int.Input(
                        "y", default=0, min=0, max=100_000, tooltip="For which = point: its place in pixels from the top. Default: 0."
                    )
                ),
                advanced(
                    io.Int.Input(
                        "stiffness",
                        default=12,
                        min=0,
                        max=250,
                        tooltip="For crop = follow: frames on each side, 0..250, over which the square's way is smoothed; more is calmer "
                        "and follows quick moves less. Default: 12.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "detection_threshold",
                        default=0.5,
                        min=0.01,
                        max=0.99,
                        step=0.01,
                        tooltip="Lowest confidence, 0..1, that counts as a face. Lower it for small or turned faces. Default: 0.5.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "fps",
                        default=25.0,
                        min=0.1,
                        max=1000.0,
                        step=0.001,
                        tooltip="Frames/s of images, 0.1..1000, told to Create Video; a video brings its own rate. Default: 25.",
                    )
                ),
                previews("crop and motion_crop", "1.6 MB"),
            ],
            outputs=[
                sockets.FaceTrack.Output(display_name="face_track", tooltip="Crops, points and boxes of every frame."),
                io.Image.Output(
                    display_name="crop", tooltip="The square crop at the head-pose encoder's size, of as many frames as previews says."
                ),
                io.Image.Output(
                    display_name="motion_crop", tooltip="Eyebrows to mouth, what the expression encoder sees, of the same frames as crop."
                ),
                io.Mask.Output(
                    display_name="mask", tooltip="Where Paste Back will put the square into the first frame, 0..1, soft border."
                ),
                io.Float.Output(display_name="fps", tooltip="Frames/s of the track, for Create Video."),
                io.Audio.Output(
                    display_name="audio",
                    tooltip="The video's sound over the same frames, for Create Video. It does not fit a trimmed or stretched motion.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        analyzer: host.Analyzer,
        which: str,
        face_index: int,
        on_missing: str,
        crop: str,
        start: int,
        frames: int,
        images: Any = None,
        video: Any = None,
        like: Any = None,
        model: host.PortraitModel | None = None,
        x: int = 0,
        y: int = 0,
        stiffness: int = 12,
        detection_threshold: float = 0.5,
        fps: float = 25.0,
        previews: int = 64,
    ) -> io.NodeOutput:
        """Detect, follow, crop."""
        from hp_core.compose import square_mask
        from hp_core.face.track import track_faces
        from hp_core.image import to_float
        from hp_core.preview import spread

        clip = host.open_clip(images, video, fps=Fraction(fps).limit_denominator(1001), start=start, frames=frames)
        session = analyzer.session(detection_threshold)
        chosen: Any = {"index": face_index, "point": (x, y)}.get(which, which)
        if which == "likeness":
            chosen = host.likeness(like, session, model)
        options = {"which": chosen, "on_missing": on_missing, "crop": crop, "stiffness": stiffness, "fps": clip.fps, "start": start}
        stage = track_faces(clip.frames, session, analyzer.face, total=clip.total, **options)
        track = host.watched(stage)
        mask = square_mask(track.portrait, track.square)
        shown = spread(len(track), previews)
        crops = (to_float(crops[shown]) for crops in (track.head_crops, track.motion_crops))
        return io.NodeOutput(track, *crops, mask, float(track.fps), clip.audio)


class TrackPreview(io.ComfyNode):
    """A video of what was found."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "TrackPreview",
            "Track Preview",
            description="Draws box, points, crops, intensity levels and pose into a video: green where the face was found, red where a "
            "frame was filled in.",
            is_output_node=True,
            inputs=[
                sockets.FaceTrack.Input("face_track", tooltip="The track to look at, from Face Crop."),
                sockets.Intensity.Input("intensity", optional=True, tooltip="From Intensity Estimate; adds the levels."),
                sockets.Pose.Input("pose", optional=True, tooltip="From Pose Align; adds the map that the pose guider sees."),
                io.Int.Input(
                    "side",
                    default=256,
                    min=64,
                    max=1024,
                    step=2,
                    tooltip="Side of each picture in the video, 64..1024 pixels; larger shows more and takes longer. Default: 256.",
                ),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="At the track's frame rate, without sound.")],
        )

    @classmethod
    def execute(cls, face_track: Any, side: int, intensity: Any = None, pose: Any = None) -> io.NodeOutput:
        """Draw every frame, show the video."""
        from hp_core.preview import preview_frames
        from hp_core.video import VideoWriter

        path, subfolder = folders.preview_file("HunyuanPortrait_track", ".mp4")
        drawn = preview_frames(face_track, intensity, pose, side=side)
        with VideoWriter(path, fps=face_track.fps) as writer:
            for frame in host.counted(drawn, len(face_track)):
                writer.write(frame)
        return io.NodeOutput(
            InputImpl.VideoFromFile(str(path)), ui=ui.PreviewVideo([ui.SavedResult(path.name, subfolder, io.FolderType.temp)])
        )
