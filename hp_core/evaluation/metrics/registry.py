"""Every metric by name, and what is built of those asked for: the metrics that can run, and for the others the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hp_core.errors import FaceError, OptionError, WeightsError
from hp_core.evaluation.metrics.base import Described, Metric, SetMetric, Setting
from hp_core.evaluation.metrics.toolbox import Toolbox


def _psnr(tools: Toolbox) -> Metric:
    from hp_core.evaluation.metrics.psnr import psnr

    return psnr()


def _ssim(tools: Toolbox) -> Metric:
    import importlib.util

    from hp_core.evaluation.metrics.ssim import ssim

    if importlib.util.find_spec("skimage") is None:
        raise WeightsError("SSIM needs the package scikit-image. Run `pip install scikit-image`.")
    return ssim()


def _lpips(kind: str) -> Callable[[Toolbox], Metric]:
    def build(tools: Toolbox) -> Metric:
        from hp_core.evaluation.metrics.lpips import lpips

        return lpips(tools.lpips(kind), kind)

    return build


def _temporal(tools: Toolbox) -> Metric:
    from hp_core.evaluation.metrics.lpips import TemporalLpips

    return TemporalLpips(tools.lpips("alex"), tools.against)


def _landmarks(name: str) -> Callable[[Toolbox], Metric]:
    def build(tools: Toolbox) -> Metric:
        from hp_core.evaluation.metrics.landmarks import LandmarkMeanDistance

        _ = tools.reader
        return LandmarkMeanDistance(name)

    return build


def _motion(name: str) -> Callable[[Toolbox], Metric]:
    def build(tools: Toolbox) -> Metric:
        from hp_core.evaluation.metrics.correlation import MotionCorrelation

        _ = tools.reader
        return MotionCorrelation(name)

    return build


def _gaze(tools: Toolbox) -> Metric:
    from hp_core.evaluation.metrics.gaze import gaze

    _ = tools.reader
    return gaze()


def _drift(tools: Toolbox) -> Metric:
    from hp_core.evaluation.metrics.drift import drift

    return drift(tools.analyzer)


def _identity(tools: Toolbox) -> Metric:
    from hp_core.appearance.identity import ArcFaceOnnx
    from hp_core.evaluation.metrics.identity import identity
    from hp_core.evaluation.metrics.networks import named

    path, _ = tools.file("arcface"), tools.reader
    return identity(ArcFaceOnnx(path), named(path))


def _smirk(name: str) -> Callable[[Toolbox], Metric]:
    def build(tools: Toolbox) -> Metric:
        from hp_core.evaluation.metrics.expression import smirk_distance
        from hp_core.evaluation.metrics.networks import named

        encoder, _ = tools.smirk, tools.reader
        return smirk_distance(name, encoder, named(tools.file("smirk")))

    return build


def _fid(tools: Toolbox) -> SetMetric:
    from hp_core.evaluation.metrics.fid import Fid

    return Fid(tools.file("inception"), tools.against, tools.device)


def _fid_vid(tools: Toolbox) -> SetMetric:
    from hp_core.evaluation.metrics.fid_vid import FidVid

    return FidVid(tools.file("resnet3d"), tools.against, tools.device)


def _fvd(tools: Toolbox) -> SetMetric:
    from hp_core.evaluation.metrics.fvd import Fvd

    return Fvd(tools.file("i3d"), tools.against, tools.device, **tools.fvd)


PAIR_METRICS: dict[str, Callable[[Toolbox], Metric]] = {
    "psnr": _psnr,
    "ssim": _ssim,
    "lpips_alex": _lpips("alex"),
    "lpips_vgg": _lpips("vgg"),
    **{name: _landmarks(name) for name in ("lmd_px", "lmd_side", "lmd_eyes")},
    "identity": _identity,
    **{name: _smirk(name) for name in ("aed_exp50", "aed_55", "aed_h2c", "apd")},
    "tlpips": _temporal,
    "gaze": _gaze,
    **{name: _motion(name) for name in ("motion_head", "motion_face")},
    "drift": _drift,
}
SET_METRICS: dict[str, Callable[[Toolbox], SetMetric]] = {"fid": _fid, "fid_vid": _fid_vid, "fvd": _fvd}
NAMES = (*SET_METRICS, *PAIR_METRICS)
DEFAULT = tuple(name for name in NAMES if name != "lpips_vgg")
"""What is computed unless told; the paper's LPIPS is AlexNet's."""


@dataclass(frozen=True)
class Built:
    """What can run, in the order it was asked for, and why the rest cannot."""

    pairs: list[Metric] = field(default_factory=list)
    sets: list[SetMetric] = field(default_factory=list)
    blanks: dict[str, str] = field(default_factory=dict)

    @property
    def all(self) -> list[Described]:
        """Those that can run, whatever they give a number for."""
        return [*self.sets, *self.pairs]

    @property
    def settings(self) -> dict[str, dict[str, Setting]]:
        """Of each metric that runs, all that its number depends on."""
        return {metric.name: metric.settings for metric in self.all}


def check_names(names: Iterable[str]) -> list[str]:
    """``names`` without doubles; `all` stands for every metric.

    Raises:
        OptionError: none, or one that is not a metric.
    """
    wanted: list[str] = []
    for name in names:
        if name == "all":
            wanted += NAMES
        elif name not in NAMES:
            raise OptionError(f"'{name}' is not a metric; choose of: {', '.join(NAMES)}, all.")
        else:
            wanted.append(name)
    if not wanted:
        raise OptionError(f"No metric is named; choose of: {', '.join(NAMES)}, all.")
    return list(dict.fromkeys(wanted))


def build_metrics(names: Sequence[str], tools: Toolbox, inputs: set[str]) -> Built:
    """The metrics called ``names``, of `check_names`; whatever lacks a file, a package or an input is a blank with its reason.

    Args:
        inputs: of `hp_core.evaluation.metrics.base.INPUTS`, those that at least one pair has.
    """
    built = Built()
    for name in names:
        try:
            metric: Metric | SetMetric = PAIR_METRICS[name](tools) if name in PAIR_METRICS else SET_METRICS[name](tools)
        except (WeightsError, FaceError) as error:
            built.blanks[name] = str(error)
            continue
        lacking = [which for which in metric.inputs if which not in inputs]
        if lacking:
            built.blanks[name] = f"no pair has a {' and a '.join(lacking)}"
        elif name in PAIR_METRICS:
            built.pairs.append(metric)  # type: ignore[arg-type]
        else:
            built.sets.append(metric)  # type: ignore[arg-type]
    return built
