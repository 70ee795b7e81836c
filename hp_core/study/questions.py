"""What the paper's study asks (appendix E.1 and figure 10), word for word."""

from __future__ import annotations

from dataclasses import dataclass

LOWEST, HIGHEST = 1, 5
"""The limits of a score, both included."""
GRADES = {5: "Very good", 4: "Good", 3: "Average", 2: "Poor", 1: "Very poor"}
"""The scale, in the order in which the paper shows it."""


@dataclass(frozen=True)
class Question:
    """``name`` in the results, ``title`` in tables, ``text`` on the page."""

    name: str
    title: str
    text: str


QUESTIONS = (
    Question(
        "facial_movement",
        "Facial movement",
        "How similar are the characters' head movements and facial expressions in the generated video to those in the driving video "
        "in terms of authenticity and naturalness?",
    ),
    Question(
        "video_quality",
        "Video quality",
        "How would you rate the clarity and resolution of the videos? Consider sharpness, blurriness, detail in characters and "
        "movements, and any artifacts or distortions affecting visual quality.",
    ),
    Question(
        "temporal_smoothness",
        "Temporal smoothness",
        "How would you assess the fluidity and consistency of the characters' movements in the video? Consider frame transitions, "
        "and the naturalness of motion. Are there any delays or inconsistencies that disrupt continuity?",
    ),
)
