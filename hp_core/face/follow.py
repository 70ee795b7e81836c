"""One person kept apart from the others of a clip, frame by frame."""

from __future__ import annotations

import numpy as np

from hp_core.face.analyzer import Face

# A face further than this from where it was last seen, in box sides, is somebody else's; after a gap it may be a little further.
MAX_JUMP, MAX_JUMP_AFTER_GAP = 0.6, 1.0
MAX_SIZE_RATIO = 2.0  # and one that is this much larger or smaller
# How far a path's place and speed go toward each detection (an alpha-beta filter). Chosen by simulated crossings of jittering faces.
PLACE_GAIN, SPEED_GAIN = 0.5, 0.1
SHAPE_WEIGHT = 2.0  # of size and shape against place, where both tell two faces apart
FORGOTTEN = 12  # frames for which a face out of sight is expected to go on as it moved; then neighbours are forgotten


def same_face(faces: list[Face], last: Face, missing: int) -> Face | None:
    """The face that continues ``last`` after ``missing`` frames without it: the nearest one within reach, or None."""
    return min((face for face in faces if _within_reach(face, last, missing)), key=lambda face: _jump(face, last), default=None)


class Follower:
    """Keeps to one face, also past others.

    Every face is expected to go on at the speed it had, and each face found continues the path it fits best: place, size and
    shape of the points together. So a face found where a neighbour should be is the neighbour's, even if the followed one is
    hidden behind it. No path takes a face out of its reach: of where it was last seen (`same_face`), or, for `FORGOTTEN` frames, of
    where it would be by now, had it gone on.

    Args:
        face: the one to follow.
        faces: all of that frame.
    """

    def __init__(self, face: Face, faces: list[Face]):
        self._own = _Path(face)
        self._others: list[_Path] = []
        self._meet(faces)

    @property
    def face(self) -> Face:
        """The followed face where it was last seen."""
        return self._own.face

    def next(self, faces: list[Face]) -> Face | None:
        """The followed face among those of the next frame, or None."""
        paths = [self._own, *self._others]
        fits = sorted((path.misfit(face), p, f) for p, path in enumerate(paths) for f, face in enumerate(faces) if path.reaches(face))
        taken: dict[int, int] = {}  # path -> face
        for _, p, f in fits:
            if p not in taken and f not in taken.values():
                taken[p] = f
        for p, path in enumerate(paths):
            path.step(faces[taken[p]] if p in taken else None)
        self._others = [path for path in self._others if path.missing <= FORGOTTEN]
        if 0 not in taken:  # what is new may be the followed face, elsewhere
            return None
        self._meet([face for f, face in enumerate(faces) if f not in taken.values()])
        return self._own.face

    def _meet(self, faces: list[Face]) -> None:
        """Follow the new faces too; one on top of the followed face is a second detection of it."""
        x1, y1, x2, y2 = self._own.face.box
        for face in faces:
            x, y = face.center
            if not (x1 <= x <= x2 and y1 <= y <= y2):
                self._others.append(_Path(face))


class _Path:
    """Where one face was last seen, and where it is going."""

    def __init__(self, face: Face):
        self.face, self.missing = face, 0
        self._shape, self._speed = _shape(face), np.zeros(2)  # (7, 2) pixels, smoothed; (2,) pixels a frame
        self._steps = 0

    def misfit(self, face: Face) -> float:
        """How far ``face`` is from where this one is expected next, and how unlike it in size and shape, in box sides."""
        difference = _shape(face) - self._expected()
        place = difference.mean(0)
        return float(np.hypot(*place) + SHAPE_WEIGHT * np.hypot(*(difference - place).T).mean()) / _side(self.face)

    def reaches(self, face: Face) -> bool:
        """Whether ``face`` may be this one, by its size and its place alone."""
        if _within_reach(face, self.face, self.missing):
            return True
        return 0 < self.missing <= FORGOTTEN and _alike(face, self.face) and self.misplaced(face) <= MAX_JUMP

    def misplaced(self, face: Face) -> float:
        """How far the middle of ``face`` is from where this one's is expected next, in box sides."""
        return float(np.hypot(*np.subtract(face.center, self._expected()[5:].mean(0)))) / _side(self.face)

    def step(self, face: Face | None) -> None:
        """Go on to the face found in the next frame, if any."""
        if face is None:
            self.missing += 1
            return
        expected = self._expected()
        surprise = _shape(face) - expected
        self._steps += 1  # the first ones are all that is known
        self._shape = expected + max(PLACE_GAIN, 1 / (self._steps + 1)) * surprise
        self._speed = self._speed + max(SPEED_GAIN, 1 / self._steps**2) * surprise.mean(0) / (self.missing + 1)
        self.face, self.missing = face, 0

    def _expected(self) -> np.ndarray:
        return self._shape + self._speed * min(self.missing + 1, FORGOTTEN)


def _within_reach(face: Face, last: Face, missing: int) -> bool:
    return _alike(face, last) and _jump(face, last) <= _side(last) * (MAX_JUMP_AFTER_GAP if missing else MAX_JUMP)


def _alike(face: Face, last: Face) -> bool:
    return 1 / MAX_SIZE_RATIO <= _side(face) / _side(last) <= MAX_SIZE_RATIO


def _jump(face: Face, last: Face) -> float:
    return float(np.hypot(*np.subtract(face.center, last.center)))


def _side(face: Face) -> float:
    """Of a square of the box's area, pixels."""
    return float(max(face.area, 1.0) ** 0.5)


def _shape(face: Face) -> np.ndarray:
    """The five points and the box's two corners, (7, 2) float64 pixels."""
    return np.concatenate([face.five_points, np.reshape(face.box, (2, 2))]).astype(np.float64)
