"""Every system answers every case, pair by pair; pictures of one pair are gone before the next is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from hp_core.errors import PortraitError
from hp_core.evaluation.case import Answer, Case, System
from hp_core.evaluation.clip_readings import Reader
from hp_core.evaluation.judge import Judge, Verdict
from hp_core.progress import Progress, Stage

if TYPE_CHECKING:
    from hp_core.evaluation.strips import StripFolder
    from hp_core.face.likeness import IdentityEncoder


def judge_systems(
    cases: Iterable[Case],
    systems: Mapping[str, System],
    reader: Reader,
    *,
    total: int,
    identity: IdentityEncoder | None = None,
    strips: StripFolder | None = None,
) -> Stage[list[Verdict]]:
    """The verdicts on ``systems`` over ``cases``, case by case.

    Args:
        cases: made one at a time; wherever they come from, their truth must be exact.
        systems: by name; anything from a baseline to the whole pipeline.
        reader: finds and reads the faces.
        total: how many cases there are, for the progress.
        identity: face recognition, None leaves identity out.
        strips: where pictures go, None draws none; the truth itself has none.

    Raises:
        PortraitError: a system's frames are not like the truth; whatever the systems raise, but for `FaceError` (`from_pixels`).
    """
    verdicts: list[Verdict] = []
    for case in cases:
        judge = Judge(case, reader, identity)
        for name, system in systems.items():
            answer = system(case)
            _check_answer(name, case, answer)
            verdict = judge.verdict(name, answer)
            verdicts.append(verdict)
            if strips is not None and answer.frames is not case.truth:
                strips.add(name, case, answer, verdict.scores["psnr"] or 0.0)
            yield Progress("evaluate", len(verdicts), total * len(systems))
    return verdicts


def _check_answer(name: str, case: Case, answer: Answer) -> None:
    got, wanted = answer.frames, case.truth
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        raise PortraitError(
            f"The system '{name}' answered pair {case.index} with {got.dtype} {got.shape}; the truth is {wanted.dtype} {wanted.shape}. "
            "Return one frame a driving frame, of the portrait's size."
        )
