"""Video files in and out as RGB frames, with the sound carried over from another file."""

from hp_core.video.read import read_frames
from hp_core.video.scan import VideoInfo, probe
from hp_core.video.waveform import read_waveform
from hp_core.video.write import VideoWriter, check_output

__all__ = ["VideoInfo", "VideoWriter", "check_output", "probe", "read_frames", "read_waveform"]
