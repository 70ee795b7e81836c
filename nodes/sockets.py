"""The sockets: each carries one value of `hp_core`."""

from comfy_api.latest import io

Model = io.Custom("HUNYUANPORTRAIT_MODEL")  # nodes.host.PortraitModel
Analyzer = io.Custom("HUNYUANPORTRAIT_ANALYZER")  # nodes.host.Analyzer
FaceTrack = io.Custom("HUNYUANPORTRAIT_FACE_TRACK")
Intensity = io.Custom("HUNYUANPORTRAIT_INTENSITY")
Motion = io.Custom("HUNYUANPORTRAIT_MOTION")  # MotionTokens
Appearance = io.Custom("HUNYUANPORTRAIT_APPEARANCE")
Pose = io.Custom("HUNYUANPORTRAIT_POSE")  # PoseMaps
Options = io.Custom("HUNYUANPORTRAIT_OPTIONS")  # changes of SamplingConfig, by field
Keypoints = io.Custom("POSE_KEYPOINT")  # OpenPose's JSON, frame by frame, as other packs have it
