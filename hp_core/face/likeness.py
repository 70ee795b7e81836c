"""Whom a reference picture shows, found again among the faces of another picture by ArcFace embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hp_core.checks import check_range
from hp_core.errors import FaceError
from hp_core.face.crop import arcface_align

if TYPE_CHECKING:
    import numpy as np

    from hp_core.face.analyzer import Face, FaceAnalyzer

SAME_PERSON = 0.3  # two pictures of one person lie above this cosine with ArcFace, those of two people below


class IdentityEncoder(Protocol):
    """ArcFace or anything with its interface."""

    def embed(self, face: np.ndarray) -> np.ndarray:
        """Aligned face (112, 112, 3) float32 RGB in 0..1 -> (512,) float32, L2-normalised."""
        ...


@dataclass(frozen=True, eq=False)
class Likeness:
    """One person's looks: `Likeness.of` a reference picture.

    Attributes:
        embedding: (512,) float32, unit length.
        identity: the encoder that made it. It embeds the faces to choose from too, whatever embedding the analyzer reports:
            those of two encoders cannot be compared.
        threshold: lowest cosine, -1..1, that counts as the same person.

    Raises:
        OptionError: a threshold outside -1..1.
    """

    embedding: np.ndarray
    identity: IdentityEncoder
    threshold: float = SAME_PERSON

    def __post_init__(self) -> None:
        check_range("The likeness threshold", self.threshold, -1, 1)

    @classmethod
    def of(cls, picture: np.ndarray, analyzer: FaceAnalyzer, identity: IdentityEncoder, *, threshold: float = SAME_PERSON) -> Likeness:
        """The likeness of the largest face of ``picture`` (height, width, 3) uint8 RGB.

        Raises:
            FaceError: no face in the picture.
            OptionError: a threshold outside -1..1.
        """
        faces = analyzer.detect(picture)
        if not faces:
            raise FaceError(
                f"No face found in the reference picture ({picture.shape[1]}x{picture.shape[0]}). Lower detection_threshold "
                f"(now {analyzer.threshold:g}), or use a picture with a larger or more frontal face."
            )
        largest = max(faces, key=lambda face: face.area)
        return cls(identity.embed(arcface_align(picture, largest.five_points)), identity, threshold)

    def cosine(self, face: Face, image: np.ndarray) -> float:
        """How much ``face`` of ``image`` (height, width, 3) uint8 RGB is like it, -1..1."""
        return float(self.embedding @ self.identity.embed(arcface_align(image, face.five_points)))

    def choose(self, faces: list[Face], image: np.ndarray) -> Face:
        """The face most like it, of one or more found in ``image`` (height, width, 3) uint8 RGB.

        Raises:
            FaceError: none is like it enough.
        """
        cosines = [self.cosine(face, image) for face in faces]
        best = max(range(len(faces)), key=cosines.__getitem__)
        if not cosines[best] >= self.threshold:
            raise FaceError(
                f"No face is like the reference picture: the best of {len(faces)} has cosine {cosines[best]:.2f}, the threshold is "
                f"{self.threshold:g}. Use a clearer, more frontal picture of this person, or name the face by an index or a point."
            )
        return faces[best]
