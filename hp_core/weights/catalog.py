"""Every file the system can load: where it lies in a weights folder, where it comes from, what for, under which terms.

The downloader, the loader, `inspect` and `init` all read this one list.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hp_core.errors import WeightsError

SVD_REPO = "stabilityai/stable-video-diffusion-img2vid-xt"
SVD_MIRROR = "vdo/stable-video-diffusion-img2vid-xt-1-1"  # not gated
HUNYUAN_LICENCE = "Tencent HunyuanPortrait licence: academic and research use only"
SVD_LICENCE = "Stability AI Community Licence"

LANDMARKER_URL = "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"


@dataclass(frozen=True)
class WeightFile:
    """One file.

    Attributes:
        name: what the rest of the package calls it.
        path: where it lies inside a weights folder; the reference layout.
        purpose: what it is for.
        licence: its terms.
        size: bytes, computed from the parameters in the published dtype (float32 for `.pth`); None where it is not known.
        repo, revision, remote: its place on the Hugging Face hub; `remote` defaults to the last part of `path`.
        mirror: a repository that holds the same file without a gate.
        url: a plain address instead of a repository.
        group: `animate` (needed), `identity`, `faces`, `yolo`, `dwpose`, `evaluation`, or `training`, from which the configuration
            `released` starts (optional).
        also: other groups it belongs to.
        alternatives: other names under which the same content is accepted, the preferred first.
    """

    name: str
    path: str
    purpose: str
    licence: str
    size: int | None
    repo: str = ""
    revision: str = "main"
    remote: str = ""
    mirror: str = ""
    url: str = ""
    group: str = "animate"
    also: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()

    def belongs(self, group: str) -> bool:
        """Whether it is of ``group``; `all` holds every file."""
        return group in ("all", self.group, *self.also)

    def find(self, folder: Path) -> Path | None:
        """The file inside ``folder``: `.safetensors` before the published name where both lie there, None where neither does."""
        for name in (*self.alternatives, self.path):
            if (folder / name).is_file():
                return folder / name
        return None


def _hunyuan(name: str, purpose: str, parameters: int) -> WeightFile:
    path = f"hyportrait/{name}.pth"
    return WeightFile(
        name=name,
        path=path,
        purpose=purpose,
        licence=HUNYUAN_LICENCE,
        size=4 * parameters,
        repo="tencent/HunyuanPortrait",
        remote=path,
        alternatives=(f"hyportrait/{name}.safetensors",),
    )


def _svd(name: str, path: str, purpose: str, size: int | None, alternatives: tuple[str, ...] = ()) -> WeightFile:
    return WeightFile(
        name, path, purpose, SVD_LICENCE, size, repo=SVD_REPO, remote=path, mirror=SVD_MIRROR, alternatives=alternatives, also=("training",)
    )


CATALOG: dict[str, WeightFile] = {
    file.name: file
    for file in (
        _hunyuan("expression", "expression encoder (ResNet-50)", 24_557_120),
        _hunyuan("headpose", "head-pose encoder (ResNet-18)", 11_179_590),
        _hunyuan("motion_proj", "intensity-aware motion refiner with the memory bank", 65_785_326),
        _hunyuan("dino", "DINOv2 ViT-L/14 with registers and IMAdapters", 313_686_206),
        _hunyuan("image_proj", "appearance token projector", 16_768),
        _hunyuan("pose_guider", "pose guider", 1_086_480),
        _hunyuan("unet", "SVD UNet with appearance and motion attention", 1_575_741_162),
        _svd(
            "vae",
            "vae/diffusion_pytorch_model.fp16.safetensors",
            "temporal-decoder VAE",
            2 * 97_742_847,
            ("vae/diffusion_pytorch_model.safetensors",),
        ),
        _svd("vae_config", "vae/config.json", "VAE configuration", None),
        _svd("unet_config", "unet/config.json", "UNet configuration", None),
        _svd("scheduler_config", "scheduler/scheduler_config.json", "noise schedule", None),
        replace(
            _svd(
                "svd_unet",
                "unet/diffusion_pytorch_model.fp16.safetensors",
                "SVD's own UNet",
                None,
                ("unet/diffusion_pytorch_model.safetensors",),
            ),
            group="training",
        ),
        WeightFile(
            "dinov2",
            "dinov2_vitl14_reg4_pretrain.pth",
            "DINOv2 ViT-L/14 with registers",
            "Apache-2.0",
            None,
            url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_reg4_pretrain.pth",
            group="training",
        ),
        WeightFile(
            "arcface",
            "arcface.onnx",
            "ArcFace identity embedding; without it the ID embedding is zeros",
            "InsightFace model: non-commercial research use",
            None,
            repo="FoivosPar/Arc2Face",
            revision="da2f1e9aa3954dad093213acfc9ae75a68da6ffd",
            remote="arcface.onnx",
            group="identity",
            also=("training",),
        ),
        WeightFile(
            "face_landmarker",
            "face_landmarker.task",
            "MediaPipe FaceLandmarker, the default face analyzer",
            "Apache-2.0",
            3_758_596,
            url=LANDMARKER_URL,
            group="faces",
        ),
        WeightFile(
            "yoloface",
            "yoloface_v5m.pt",
            "TorchScript YOLO-face, the detector the weights were released with",
            "see its repository",
            None,
            repo="LeonJoe13/Sonic",
            remote="yoloface_v5m.pt",
            group="yolo",
        ),
        *(
            WeightFile(
                name,
                path,
                f"DWPose's {purpose}, for the pose mode paper or identity",
                "Apache-2.0",
                size,
                repo="yzd-v/DWPose",
                remote=path.rpartition("/")[2],
                group="dwpose",
            )
            for name, path, purpose, size in (
                ("dwpose_detector", "dwpose/yolox_l.onnx", "detector of people", None),
                ("dwpose", "dwpose/dw-ll_ucoco_384.onnx", "whole-body keypoints", 134_399_116),
            )
        ),
        WeightFile(
            "i3d",
            "evaluation/i3d_torchscript.pt",
            "I3D of Kinetics-400 as StyleGAN-V uses it, for FVD",
            "see its repository",
            None,
            repo="flateon/FVD-I3D-torchscript",
            remote="i3d_torchscript.pt",
            group="evaluation",
        ),
        WeightFile(
            "inception",
            "evaluation/inception-2015-12-05.pt",
            "Inception of StyleGAN2-ADA's metrics, for FID",
            "see StyleGAN2-ADA",
            None,
            url="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
            group="evaluation",
        ),
        WeightFile(
            "alexnet",
            "evaluation/alexnet-owt-7be5be79.pth",
            "torchvision's AlexNet, for LPIPS",
            "BSD-3-Clause",
            None,
            url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            group="evaluation",
        ),
        WeightFile(
            "vgg16",
            "evaluation/vgg16-397923af.pth",
            "torchvision's VGG-16, for LPIPS",
            "BSD-3-Clause",
            None,
            url="https://download.pytorch.org/models/vgg16-397923af.pth",
            group="evaluation",
        ),
        WeightFile(
            "smirk",
            "evaluation/SMIRK_em1.pt",
            "SMIRK's encoder, for AED and APD",
            "MIT",
            None,
            url="https://drive.usercontent.google.com/download?id=1T65uEd9dVLHgVw5KiUYL66NUee-MCzoE&export=download&confirm=t",
            group="evaluation",
        ),
    )
}
GROUPS = ("animate", "identity", "faces", "yolo", "dwpose", "evaluation", "training")
MODULES = ("expression", "headpose", "motion_proj", "dino", "image_proj", "pose_guider", "unet", "vae")
"""Without which nothing can be animated; configurations are optional: a folder without them has the released values."""

DEMO_WEIGHTS = Path(__file__).parents[1] / "demo" / "weights"
"""The small set that comes with the package, for drawn people at 128x128."""


def weights_folder(folder: Path | None) -> Path:
    """The folder that holds `hyportrait/`: ``folder``, or the usual places inside it; None looks from the working directory.

    ``demo`` is the set that comes with the package, unless a folder of that name is there.

    Raises:
        WeightsError: no such folder, naming every place that was tried.
    """
    base = Path() if folder is None else Path(folder)
    if str(folder) == "demo" and not base.is_dir() and (DEMO_WEIGHTS / "hyportrait" / "unet.safetensors").is_file():
        return DEMO_WEIGHTS
    if folder is not None and not base.is_dir():
        raise WeightsError(f"{base} is {'a file' if base.is_file() else 'not there'}; --weights names the folder that holds hyportrait/.")
    inside = ("", "pretrained_weights", "models/HunyuanPortrait", "HunyuanPortrait", "ComfyUI/models/HunyuanPortrait")
    places = [base / name for name in inside]
    for place in places:
        if (place / "hyportrait").is_dir():
            return place
    tried = ", ".join(str(place) for place in places)
    raise WeightsError(
        f"No weights found: none of {tried} holds a folder hyportrait/. "
        "Fetch them with `hp-portrait download DIR`, or write an untrained set with `hp-portrait init DIR --preset demo`."
    )
