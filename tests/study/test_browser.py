"""The page in a real browser, as visitors meet it, up to the scores that come out of their files."""

from __future__ import annotations

import csv
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hp_core.progress import result
from hp_core.study.answers import COLUMNS, read_answers, read_key
from hp_core.study.make import Study, make_study
from hp_core.study.summary import summarise
from tests.chromium import drive

from .conftest import SYSTEMS

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
SCORES = {
    SYSTEMS[0]: {"facial_movement": 5, "video_quality": 4, "temporal_smoothness": 3},
    SYSTEMS[1]: {"facial_movement": 2, "video_quality": 1, "temporal_smoothness": 3},
}
ITEMS = 6


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def study(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return result(make_study(manifest, tmp_path_factory.mktemp("study") / "page", contact="study@example.org"))


@pytest.fixture(scope="module")
def address(study: Study) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(study.folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@dataclass(frozen=True)
class Seen:
    """What the browser reported, and the folder with the saved files."""

    report: dict[str, Any]
    folder: Path


@pytest.fixture(scope="module")
def seen(study: Study, address: str, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    systems = {item: made["system"] for item, made in read_key(study.key).items.items()}
    plan = tmp_path_factory.mktemp("plan") / "plan.json"
    plan.write_text(json.dumps({item["result"]: SCORES[systems[item["id"]]] for item in on_page(study)["items"]}), encoding="utf-8")
    page = (study.folder / "index.html").as_uri()
    return Seen(drive(HERE / "browser.mjs", tmp_path_factory.mktemp("browser"), address, page, plan, folder, timeout=600), folder)


def on_page(study: Study) -> dict[str, Any]:
    """What the study's page knows."""
    text = (study.folder / "index.html").read_text(encoding="utf-8")
    return json.loads(text.split('id="study">')[1].split("</script>")[0])


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_raises_no_error(seen: Seen) -> None:
    assert seen.report["errors"] == []


def test_the_saved_files_summarise_to_the_scores_given(seen: Seen, study: Study) -> None:
    key = read_key(study.key)
    facts = result(summarise(read_answers([seen.folder / "first.csv", seen.folder / "second.csv"], key), key))
    assert (facts["visitors"], facts["answers"]) == (2, 2 * 3 * ITEMS)
    means = {system: {name: cell["mean"] for name, cell in scores.items()} for system, scores in facts["systems"].items()}
    assert means == SCORES


def test_the_file_has_its_columns_and_records_the_order(seen: Seen) -> None:
    thorough = seen.report["thorough"]
    rows = table(seen.folder / "first.csv")
    assert tuple(rows[0]) == COLUMNS
    assert {row["visitor"] for row in rows} == {thorough["visitor"]}
    assert {row["item"]: int(row["position"]) for row in rows} == {item: at for at, item in enumerate(thorough["order"], 1)}
    assert all(float(row["seconds"]) > 1 for row in rows), "nobody can answer before a clip of two seconds has ended"
    assert all(float(row["seconds"]) < 120 for row in rows)
    assert thorough["file"].endswith(f"{thorough['visitor'][:8]}.csv")


def test_the_file_can_be_saved_again_after_a_reload(seen: Seen) -> None:
    assert seen.report["thorough"]["afterSubmit"] == "Thank you"
    assert (seen.folder / "again.csv").read_bytes() == (seen.folder / "first.csv").read_bytes()


def test_visitors_get_different_orders(seen: Seen) -> None:
    first, second = seen.report["thorough"]["order"], seen.report["phone"]["order"]
    assert sorted(first) == sorted(second)
    assert first != second


def test_every_order_is_as_likely(seen: Seen) -> None:
    orders = seen.report["orders"]
    for counts in orders["counts"]:
        for count in counts:
            assert abs(count - 1000) < 150, "5 deviations of a binomial distribution"
    one, other = orders["names"]
    assert len(one) == len(other) == 32
    assert one != other
    assert orders["stable"][0] == orders["stable"][1]


def test_no_request_leaves_the_study(seen: Seen, address: str, study: Study) -> None:
    own = (address, study.folder.as_uri(), "blob:", "data:,")
    assert [url for url in seen.report["requests"] if not url.startswith(own)] == []
    assert any(url.endswith(".mp4") for url in seen.report["requests"])


def test_no_text_or_address_names_a_system(seen: Seen) -> None:
    for text in seen.report["texts"] + seen.report["requests"]:
        for system in SYSTEMS:
            assert system.lower() not in text.lower()


def test_questions_open_once_the_result_has_been_watched(seen: Seen) -> None:
    assert seen.report["thorough"]["lockedBefore"] == 0


def test_videos_play_in_step_and_repeat(seen: Seen) -> None:
    step = seen.report["thorough"]["step"]
    assert step["loops"] >= 1
    assert step["moved"] > 1
    assert step["widest"] < 0.25, step


@pytest.mark.parametrize("way", ["thorough", "disk"], ids=["a server without ranges", "a disk"])
def test_videos_that_drift_apart_come_together(seen: Seen, way: str) -> None:
    drift = seen.report[way]["drift"]
    assert drift["apart"] > 0.3
    assert drift["together"], "only when the clip began anew, if at all"


def test_pause_holds_the_videos(seen: Seen) -> None:
    assert seen.report["thorough"]["paused"] == 0


def test_digits_answer_one_question_after_the_other(seen: Seen) -> None:
    assert seen.report["thorough"]["byKeys"]["got"] == seen.report["thorough"]["byKeys"]["wanted"]
    assert seen.report["thorough"]["afterEnter"] == f"Video 2 of {ITEMS}"


def test_going_back_shows_the_answers(seen: Seen) -> None:
    assert seen.report["thorough"]["wentBack"] == {
        "heading": f"Video 1 of {ITEMS}",
        "got": seen.report["thorough"]["byKeys"]["wanted"],
    }
    assert seen.report["thorough"]["browserBack"] == f"Video 2 of {ITEMS}"


def test_a_reload_loses_nothing(seen: Seen) -> None:
    reload = seen.report["thorough"]["reload"]
    assert len(reload["before"]["got"]) == 3
    assert reload["after"] == reload["before"]


def test_submitting_names_what_is_missing(seen: Seen) -> None:
    thorough = seen.report["thorough"]
    assert thorough["refusal"] == "Not submitted: answers are missing for video 3 (Temporal smoothness)."
    assert thorough["stillReview"] == "Submit your answers"
    assert thorough["gap"] == f"Video 3 of {ITEMS}"


def test_another_person_starts_anew(seen: Seen) -> None:
    anew = seen.report["thorough"]["anew"]
    assert anew["heading"] != "Thank you"
    assert anew["answers"] == {}
    assert anew["started"] is None


def test_it_fits_a_phone(seen: Seen) -> None:
    assert seen.report["phone"]["overflow"] <= 0
    assert seen.report["phone"]["smallest"] >= 36, "pixels a finger needs"


def test_it_works_from_a_disk(seen: Seen) -> None:
    assert len(seen.report["disk"]["before"]) == 3
    assert seen.report["disk"]["after"] == seen.report["disk"]["before"]


def test_a_video_that_cannot_be_shown_is_said_and_not_rated(seen: Seen) -> None:
    assert seen.report["broken"] == {"state": "These videos cannot be shown. Reload the page or try another browser.", "enabled": 0}
