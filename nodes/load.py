"""Weights: load a set that lies on disk, or fetch one."""

from __future__ import annotations

from comfy_api.latest import io

from hp_core.config import KERNELS
from hp_core.face.analyzer import ANALYZERS
from hp_core.weights.catalog import GROUPS

from . import folders, host, sockets
from .schema import advanced, schema


class Load(io.ComfyNode):
    """A set of weights as three sockets."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "Load",
            "Load HunyuanPortrait",
            description="Loads a set of weights: the networks, their VAE and a face analyzer. The set 'demo' comes with the pack and "
            "is for drawn people; it runs on a CPU.",
            search_aliases=["hunyuan portrait loader", "portrait animation model"],
            inputs=[
                io.Combo.Input(
                    "weights",
                    options=list(folders.weight_sets()) or [folders.NONE],
                    tooltip=f"The set to load: a folder with hyportrait/ in it, below models/{folders.KEY} or a path of that name in "
                    "extra_model_paths.yaml; or the demo, for drawn people. Press R after you have put one there.",
                ),
                io.Combo.Input(
                    "precision",
                    options=list(host.PRECISIONS),
                    default="auto",
                    tooltip="Number format of UNet and appearance network; fp16 and bf16 take half the memory of fp32. auto: fp16 or bf16 "
                    "where the card is fast at it, else fp32. Released: fp16. "
                    "fp8: computed as auto, the UNet's weights kept in half of fp16's memory; a slightly other picture. "
                    "The motion encoders always run in fp32.",
                ),
                io.Combo.Input(
                    "analyzer",
                    options=list(ANALYZERS),
                    default="mediapipe",
                    tooltip="What finds faces. mediapipe: free to use, 478 points a face. insightface: needs that package. yolo: the "
                    "detector "
                    "the weights were released with, needs yoloface_v5m.pt. Released: yolo.",
                ),
                io.Combo.Input(
                    "memory",
                    options=list(host.HOST_MEMORY_MODES),
                    default="auto",
                    tooltip="auto: ComfyUI keeps on the card what fits and moves the rest. whole: load each network completely, or fail. "
                    "frugal: the networks leave the card after every block. The picture is the same. Default: auto.",
                ),
                advanced(
                    io.Combo.Input(
                        "attention",
                        options=list(KERNELS),
                        default="auto",
                        tooltip="Kernel of torch's attention. auto: the fastest that fits. math: slow and plain, for comparing machines. "
                        "Default: auto.",
                    )
                ),
            ],
            outputs=[
                sockets.Model.Output(display_name="model", tooltip="The networks, for Motion Encode, Appearance Encode and the sampler."),
                io.Vae.Output(display_name="vae", tooltip="An ordinary ComfyUI VAE (SVD's temporal decoder), for core blocks too."),
                sockets.Analyzer.Output(display_name="analyzer", tooltip="Finds faces, for Face Crop; opened when first used."),
            ],
        )

    @classmethod
    def execute(cls, weights: str, precision: str, analyzer: str, memory: str, attention: str = "auto") -> io.NodeOutput:
        """Read the files, hand the networks to ComfyUI."""
        folder = folders.weight_set(weights)
        loaded = host.load(folder, precision, identity=folders.find_file("arcface", folder))
        file = {"mediapipe": "face_landmarker", "yolo": "yoloface"}.get(analyzer)
        finder = host.Analyzer(analyzer, folders.find_file(file, folder) if file else None, loaded.models.config.face)
        return io.NodeOutput(host.PortraitModel(loaded, memory, attention), loaded.vae, finder)

    @classmethod
    def fingerprint_inputs(cls, weights: str, **_: object) -> str:
        """Load again when a file or the settings have changed, or a file that was missing has come."""
        from hp_core.weights.load import set_fingerprint

        sets = folders.weight_sets()
        if weights not in sets:
            return weights
        beside = [folders.find_file(name, sets[weights]) for name in ("arcface", "face_landmarker", "yoloface")]
        return set_fingerprint(sets[weights], beside)


class Download(io.ComfyNode):
    """Fetch weights, if the user says so."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Names, ranges and tooltips."""
        return schema(
            "Download",
            "Download HunyuanPortrait",
            description="Fetches weights into the model folder when switched on, and goes on where an earlier try broke off. "
            "HunyuanPortrait's weights are for academic and research use only; ArcFace's for non-commercial research.",
            is_output_node=True,
            inputs=[
                io.Combo.Input(
                    "what",
                    options=[*GROUPS, "all"],
                    default="animate",
                    tooltip="animate: the networks and SVD's VAE (about 8 GB). identity: ArcFace. faces: MediaPipe's model (4 MB). "
                    "yolo: the detector of the release. dwpose: keypoints for Pose Align (350 MB). evaluation: the metrics' networks. "
                    "training: what a training begins with. all: everything. Default: animate.",
                ),
                io.Boolean.Input(
                    "start",
                    default=False,
                    tooltip="Nothing is fetched while this is off. On: you accept the licences named in the report. Default: off.",
                ),
                io.Boolean.Input(
                    "mirror",
                    default=True,
                    tooltip="Take SVD's gated files from a mirror that asks for no token. Off: set HF_TOKEN first. Default: on.",
                ),
            ],
            outputs=[io.String.Output(display_name="report", tooltip="Each file, where it lies, its licence, and whether it is new.")],
        )

    @classmethod
    def execute(cls, what: str, start: bool, mirror: bool) -> io.NodeOutput:
        """Fetch what is missing, file by file."""
        from hp_core.weights.download import download_report

        return io.NodeOutput(host.watched(download_report(folders.download_folder(), what, start=start, mirror=mirror)))

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> float:
        """Look every time: files may have gone."""
        return float("nan")
