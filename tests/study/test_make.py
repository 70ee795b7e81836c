"""What `hp-portrait study make` writes, and that it writes all of it or nothing."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hp_core.errors import ImageError, OptionError, VideoError
from hp_core.study.make import Study, make_study
from hp_core.study.media import plays_in_browsers, store_portrait, store_video
from hp_core.study.questions import QUESTIONS
from hp_core.video import probe, read_frames
from tests.stages import with_notices

from ..conftest import Run
from .conftest import FRAMES, SIZE, SYSTEMS, write_rows, write_video

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def made(manifest: Path, rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, list[str]]:
    return with_notices(make_study(manifest, tmp_path_factory.mktemp("make") / "page", examples=(Path(rows[0]["result"]),)))


@pytest.fixture(scope="module")
def page(made: tuple[Study, list[str]]) -> dict[str, Any]:
    text = (made[0].folder / "index.html").read_text(encoding="utf-8")
    return json.loads(text.split('id="study">')[1].split("</script>")[0])


def test_the_page_names_files_that_are_there(made: tuple[Study, list[str]], page: dict[str, Any]) -> None:
    folder = made[0].folder
    named = {item[kind] for item in page["items"] for kind in ("portrait", "driving", "result")} | set(page["examples"])
    assert named == {f"media/{path.name}" for path in (folder / "media").iterdir()}
    assert len({item["result"] for item in page["items"]}) == 6
    assert {path.name for path in folder.iterdir()} > {"index.html", "study.css", "study.js", "media"}
    assert [question["name"] for question in page["questions"]] == [question.name for question in QUESTIONS]


def test_nothing_to_be_published_names_a_system(made: tuple[Study, list[str]]) -> None:
    for path in made[0].folder.rglob("*"):
        content = path.name.encode() + (path.read_bytes() if path.is_file() else b"")
        for system in SYSTEMS:
            assert system.lower().encode() not in content.lower(), path


def test_the_key_lies_outside_and_says_what_made_each_item(made: tuple[Study, list[str]], page: dict[str, Any], rows: Rows) -> None:
    study, _ = made
    assert not study.key.is_relative_to(study.folder)
    key = json.loads(study.key.read_text(encoding="utf-8"))
    assert key["study"] == study.identifier == page["study"]
    systems = {row["result"]: row["system"] for row in rows}
    for item in page["items"]:
        kept = key["items"][item["id"]]
        assert kept["system"] == systems[kept["result"]]
        original, stored = (next(read_frames(path)).astype(int) for path in (Path(kept["result"]), study.folder / item["result"]))
        assert np.abs(original - stored).mean() < 1, "the item shows another video than the key says"


def test_items_are_listed_by_their_random_names(page: dict[str, Any]) -> None:
    names = [item["id"] for item in page["items"]]
    assert names == sorted(names)


def test_two_studies_of_one_manifest_share_no_name(made: tuple[Study, list[str]], manifest: Path, tmp_path: Path) -> None:
    other, _ = with_notices(make_study(manifest, tmp_path / "page"))
    media = [{path.name for path in (folder / "media").iterdir()} for folder in (made[0].folder, other.folder)]
    assert media[0].isdisjoint(media[1])
    items = [set(json.loads(key.read_text(encoding="utf-8"))["items"]) for key in (made[0].key, other.key)]
    assert items[0].isdisjoint(items[1])


def test_what_browsers_play_is_copied_frame_by_frame(rows: Rows, tmp_path: Path) -> None:
    name, anew = store_video(Path(rows[0]["result"]), tmp_path, b"secret")
    assert not anew
    for original, stored in zip(read_frames(Path(rows[0]["result"])), read_frames(tmp_path / name), strict=True):
        assert np.array_equal(original, stored)


def test_what_browsers_do_not_play_is_re_encoded(rows: Rows, tmp_path: Path) -> None:
    original = Path(rows[4]["result"])
    assert original.suffix == ".mkv"
    name, anew = store_video(original, tmp_path, b"secret")
    assert anew
    assert plays_in_browsers(tmp_path / name)
    assert not plays_in_browsers(original)
    assert probe(tmp_path / name).frames == FRAMES
    for before, after in zip(read_frames(original), read_frames(tmp_path / name), strict=True):
        assert np.mean((before.astype(float) - after) ** 2) < 6.5, "below 40 dB"


def test_sound_is_left_out(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "tone.wav"), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes((np.sin(np.arange(32000) / 5) * 9000).astype("<i2").tobytes())
    video = tmp_path / "loud.mp4"
    write_video(video, np.zeros((FRAMES, SIZE, SIZE, 3), np.uint8), audio_from=tmp_path / "tone.wav")
    assert probe(video).has_audio
    name, anew = store_video(video, tmp_path, b"secret")
    assert not anew
    assert not probe(tmp_path / name).has_audio


def test_portraits_lose_their_tags_and_excess_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "PuppetNet"
    Image.new("RGB", (2000, 1000), "teal").save(tmp_path / "big.jpg", exif=exif)
    stored = tmp_path / store_portrait(tmp_path / "big.jpg", tmp_path, b"secret")
    with Image.open(stored) as image:
        assert image.size == (1024, 512)
    assert b"PuppetNet" not in stored.read_bytes()


def test_a_title_cannot_end_the_script(manifest: Path, tmp_path: Path) -> None:
    title = 'Faces </script><b> & "quotes" <!-- ü'
    study, _ = with_notices(make_study(manifest, tmp_path / "page", title=title))
    text = (study.folder / "index.html").read_text(encoding="utf-8")
    assert json.loads(text.split('id="study">')[1].split("</script>")[0])["title"] == title


def test_notices(rows: Rows, made: tuple[Study, list[str]], tmp_path: Path) -> None:
    assert made[1] == ["2 of 9 videos are re-encoded to H.264, as browsers do not play them."]
    short = tmp_path / "short.mp4"
    write_video(short, np.zeros((5, SIZE, SIZE, 3), np.uint8))
    uneven = write_rows(tmp_path / "manifest.csv", [rows[0], rows[1] | {"result": str(short)}, rows[2]])
    _, notices = with_notices(make_study(uneven, tmp_path / "page", title=f"How good is {SYSTEMS[0].upper()}?"))
    said = "\n".join(notices)
    assert "short.mp4 lasts 0.4 s, its driving video 2.0 s" in said
    assert f"System '{SYSTEMS[1]}' answers 1 of 2 clips" in said
    assert f"names the system '{SYSTEMS[0]}'" in said


def nothing_but(folder: Path, *names: str) -> bool:
    return sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize(("column", "error"), [("result", VideoError), ("driving", VideoError), ("portrait", ImageError)])
def test_files_of_another_kind_are_refused_before_anything_is_written(
    rows: Rows, tmp_path: Path, column: str, error: type[Exception]
) -> None:
    (tmp_path / "text.mp4").write_text("not a video", encoding="utf-8")
    manifest = write_rows(tmp_path / "manifest.csv", [rows[0] | {column: str(tmp_path / "text.mp4")}])
    with pytest.raises(error, match=r"text\.mp4"):
        with_notices(make_study(manifest, tmp_path / "new" / "page"))
    assert nothing_but(tmp_path, "manifest.csv", "text.mp4")


def test_a_failure_on_the_way_leaves_nothing(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(path: Path, folder: Path, secret: bytes) -> tuple[str, bool]:
        calls.append(path)
        if len(calls) == 3:
            raise VideoError("damaged")
        return store_video(path, folder, secret)

    monkeypatch.setattr("hp_core.study.make.store_video", fail)
    with pytest.raises(VideoError, match="damaged"):
        with_notices(make_study(manifest, tmp_path / "page"))
    assert nothing_but(tmp_path)


def test_an_earlier_study_is_not_written_over(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("old", encoding="utf-8")
    with pytest.raises(OptionError, match="is there already; name a new folder"):
        with_notices(make_study(manifest, tmp_path / "page"))
    (tmp_path / "other.key.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OptionError, match=r"The key .*other\.key\.json of an earlier study"):
        with_notices(make_study(manifest, tmp_path / "other"))
    with pytest.raises(OptionError, match="title is empty"):
        with_notices(make_study(manifest, tmp_path / "third", title=" "))
    assert nothing_but(tmp_path, "page", "other.key.json")


def test_command(run: Run, manifest: Path, tmp_path: Path) -> None:
    code, out, _ = run("study", "make", manifest, "-o", tmp_path / "page", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["items"] == 6
    assert facts["systems"] == list(SYSTEMS)
    assert Path(facts["page"]).is_file()
    assert Path(facts["key"]).is_file()
    code, _, err = run("study", "make", manifest, "-o", tmp_path / "page")
    assert code == 1
    assert "is there already" in err
