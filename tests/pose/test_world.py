"""Alignment on the world's exact geometry: where the portrait's nose goes when somebody else gives the performance."""

from __future__ import annotations

import numpy as np

from hp_core.demo.geometry import Head
from hp_core.demo.identity import Identity
from hp_core.demo.performance import Performance
from hp_core.demo.render import five_points
from hp_core.demo.world import HeldOutPair, held_out_pairs, portrait_performance
from hp_core.pose.align import face_ratio, fitted
from hp_core.pose.keypoints import NECK, NOSE, POINTS, nose_and_neck
from hp_core.training.rendered import body_points

FRAMES, SIZE = 24, 128


def points(person: int, performance: Performance, size: int) -> np.ndarray:
    """(frames, 128, 3): the true body points of a person giving a performance."""
    who = Identity.sample(person)
    out = np.zeros((len(performance), POINTS, 3), np.float32)
    for index in range(len(performance)):
        out[index, :18] = body_points(Head(who, performance, index, size))
    return out


def nose_errors(pair: HeldOutPair) -> tuple[float, float]:
    """Mean distance in pixels of the nose's way from the truth's: with the aligned skeleton, and with a nose that stands still."""
    performance = pair.performance(FRAMES)
    truth = points(pair.portrait_seed, performance, SIZE)[:, NOSE, :2]
    portrait = points(pair.portrait_seed, portrait_performance(pair.performance_seed), SIZE)[0]
    driver = points(pair.driver_seed, performance, 2 * SIZE)  # driving videos are larger
    aligned = fitted(driver, portrait).apply(driver)[:, NOSE, :2]

    def way(path: np.ndarray) -> np.ndarray:
        return path - path[0]

    return (
        float(np.linalg.norm(way(aligned) - way(truth), axis=-1).mean()),
        float(np.linalg.norm(way(truth), axis=-1).mean()),
    )


def test_the_aligned_nose_errs_by_less_than_half_of_one_that_stands_still() -> None:
    aligned, black = np.array([nose_errors(pair) for pair in held_out_pairs(64)]).mean(axis=0)
    assert aligned <= black / 2


def test_faces_are_measured_better_by_five_points_than_by_an_estimated_neck() -> None:
    """Heads of this world have one size, but for the distance that a performance keeps."""
    by_face, by_neck = [], []
    for pair in held_out_pairs(64):
        driver = five_points(Identity.sample(pair.driver_seed), pair.performance(FRAMES), 2 * SIZE)
        portrait = five_points(Identity.sample(pair.portrait_seed), portrait_performance(pair.performance_seed), SIZE)
        by_face.append(face_ratio(driver, portrait[0]))
        necks = [np.linalg.norm(body[:, NOSE, :2] - body[:, NECK, :2], axis=-1) for body in map(nose_and_neck, (portrait, driver))]
        by_neck.append(float(necks[0][0] / np.median(necks[1])))
    face, neck = np.log(by_face), np.log(by_neck)
    assert abs(face.mean() - np.log(0.5)) < 0.05
    assert face.std() < 0.07
    assert neck.std() > 1.5 * face.std()
