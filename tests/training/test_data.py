"""Rendered clips, the stores they are kept in, and what is done to them before a network sees them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from hp_core.config import PortraitConfig
from hp_core.demo.performance import Performance
from hp_core.demo.world import TRAINING_SEEDS
from hp_core.errors import OptionError, PortraitError
from hp_core.progress import Notice, result
from hp_core.training.augment import colour_jitter, crop_jitter
from hp_core.training.regions import region_weight
from hp_core.training.rendered import RenderedSource
from hp_core.training.settings import DataConfig, read_settings
from hp_core.training.shards import ShardWriter
from hp_core.training.sources import SPARED, VALIDATION_SEED, clip_source, split
from hp_core.training.store import Store, build_store, pixels
from hp_core.training.stylize import AnimeGan

from . import tiny

FACE = tiny.config().face


def source(**changes: Any) -> RenderedSource:
    return RenderedSource(replace(tiny.DATA, **changes), FACE)


def test_a_clip_is_the_same_every_time_and_its_arrays_fit() -> None:
    one, again = source()[1], source()[1]
    assert all(np.array_equal(getattr(one, name), getattr(again, name)) for name in ("frames", "motion_crops", "head_crops", "five_points"))
    assert one.frames.shape == (7, 64, 64, 3), "six frames after the one at rest"
    assert one.motion_crops.shape == one.head_crops.shape == (7, 32, 32, 3)
    assert one.five_points.shape == one.crop_points.shape == (7, 5, 2)
    assert one.rotation is not None
    assert one.keypoints is not None
    assert one.keypoints.shape == (7, 18, 3)
    assert one.labels["expression"].shape == (7, 8)


@pytest.mark.slow
def test_workers_give_what_one_process_gives() -> None:
    clips = list(source().read(source().keys))
    assert [clip.key for clip in clips] == source().keys == ["rendered-0000000", "rendered-0000001", "rendered-0000002"]
    assert np.array_equal(clips[2].frames, source()[2].frames)


def test_motion_crops_show_somebody_else_in_the_share_asked_for() -> None:
    def own(share: float) -> int:
        """Clips whose head crops look like their frames; another person's differ widely."""
        clips = [source(cross_share=share)[index] for index in range(3)]
        small = [clip.frames.reshape(7, 32, 2, 32, 2, 3).mean(axis=(2, 4)) for clip in clips]
        return sum(float(np.abs(a - clip.head_crops).mean()) < 10 for a, clip in zip(small, clips, strict=True))

    assert own(0.0) == 3
    assert own(1.0) < 3


def test_styles_change_the_picture_and_leave_the_motion_crops() -> None:
    plain, styled = source()[0], source(style_share=1.0)[0]
    assert np.abs(plain.frames.astype(int) - styled.frames).mean() > 3
    assert np.array_equal(plain.motion_crops, styled.motion_crops)
    assert np.array_equal(plain.crop_points, styled.crop_points)


def test_labels_are_the_performances() -> None:
    clip = source(rest_frame=False)[2]
    what = Performance.sample(2, 6, fps=4.0)
    assert clip.rotation is not None
    np.testing.assert_array_equal(clip.rotation[:, 0], what.yaw)
    np.testing.assert_array_equal(clip.labels["expression"][:, 0], what.jaw)
    np.testing.assert_allclose(clip.labels["translation"][:, 0], what.shift_x * 10, rtol=1e-6)


def test_training_and_validation_stay_clear_of_the_held_out_people() -> None:
    settings = read_settings("demo")
    for data in (settings.vae.data, settings.motion.data, settings.animation.data):
        assert data.seed + data.clips <= VALIDATION_SEED
        assert VALIDATION_SEED + data.seed + data.held_out in TRAINING_SEEDS


def build(folder: Path, clips: int = 3, facts: Any = None, encode: Any = pixels) -> Store:
    return result(build_store(source(), source().keys[:clips], folder, encode, facts or {"a": 1}))


@pytest.mark.slow
def test_a_store_gives_back_any_rows(tmp_path: Path) -> None:
    clip = source()[1]
    store = build(tmp_path)
    assert (len(store), store.lengths, store.people[1]) == (3, [7, 7, 7], "0000001")
    item = store.read(1, ("frames", "rotation", "nothing"), np.array([5, 0]))
    assert set(item) == {"frames", "rotation"}
    assert np.array_equal(item["frames"].numpy(), clip.frames[[5, 0]])
    assert torch.equal(store.read(1, ("frames",), slice(2, 4))["frames"], torch.from_numpy(clip.frames[2:4]))


@pytest.mark.slow
def test_an_interrupted_store_goes_on_and_is_not_used_before(tmp_path: Path) -> None:
    seen: list[str] = []

    def encode(clip: Any) -> Any:
        seen.append(clip.key)
        return pixels(clip)

    stage = build_store(source(), source().keys, tmp_path, encode, {"a": 1})
    next(stage)
    next(stage)
    stage.close()
    with pytest.raises(PortraitError, match="no finished store"):
        Store(tmp_path)
    first, second, third = source().keys
    assert seen == [first, second]
    (tmp_path / f"{first}.safetensors").write_bytes(b"a power cut")
    assert build(tmp_path, encode=encode).keys == [first, second, third], "in the source's order, whenever they were made"
    assert seen == [first, second, first, third], "the whole one was made again"


@pytest.mark.slow
def test_a_store_keeps_few_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hp_core.training.store._OPEN", 2)
    store, maps = build(tmp_path), Path("/proc/self/maps")
    for _ in range(2):
        for index in range(3):
            store.read(index, ("rotation",), slice(None))
    if maps.is_file():
        assert sum(str(tmp_path) in line for line in maps.read_text().splitlines()) <= 2


@pytest.mark.slow
def test_processes_share_the_clips_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(PortraitError, match="no finished store"):  # alone, the second one finds no manifest
        build(tmp_path)
    first, second, third = source().keys
    assert [path.stem for path in tmp_path.glob("rendered*")] == [second]
    monkeypatch.setenv("RANK", "0")
    assert build(tmp_path).keys == [first, second, third]


@pytest.mark.slow
def test_a_store_that_tells_more_than_is_asked_is_taken(tmp_path: Path) -> None:
    build(tmp_path, facts={"data": {"seed": 1, "shards": "/elsewhere"}, "gone": 1})
    assert len(build(tmp_path, facts={"data": {"seed": 1}})) == 3
    for facts in ({"data": {"seed": 2}}, {"data": {"seed": 1}, "more": 1}):
        with pytest.raises(PortraitError, match="made with other settings"):
            build(tmp_path, facts=facts)


@pytest.mark.slow
def test_a_store_that_will_not_fit_is_refused_before_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hp_core.training.store.MEASURED", 2)
    size = build(tmp_path / "one", clips=1).folder.joinpath(f"{source().keys[0]}.safetensors").stat().st_size
    for free, fits in ((2 * size, True), (size // 2, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        place = tmp_path / str(free)
        if fits:
            assert len(build(place)) == 3
        else:
            with pytest.raises(PortraitError, match=r"will need about .* GB more, and .* GB are free"):
                build(place)


def test_clips_that_were_lost_are_told_again(tmp_path: Path) -> None:
    whole = source()
    found = {key: whole[number] for number, key in enumerate(whole.keys) if number != 1}
    lossy: Any = SimpleNamespace(keys=whole.keys, skipped={}, read=lambda keys: (found[key] for key in keys if key in found))
    for words in ("1 clips could not be read and are left out", "1 clips that could not be read are left out. To try them again, delete"):
        events = list(build_store(lossy, lossy.keys, tmp_path, pixels, {"a": 1}))
        assert any(words in event.text for event in events if isinstance(event, Notice))


@pytest.mark.slow
def test_a_store_of_other_settings_is_refused(tmp_path: Path) -> None:
    build(tmp_path, 1)
    with pytest.raises(PortraitError, match="made with other settings or weights"):
        build(tmp_path, 1, {"a": 2})


def test_a_store_without_clips_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(PortraitError, match="no clips to train on"):
        build(tmp_path, 0)


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=40), wanted=st.integers(1, 12), seed=st.integers(0, 99))
def test_whole_people_are_held_out_where_that_costs_little(counts: list[int], wanted: int, seed: int) -> None:
    everybody = [person for person, count in enumerate(counts) for _ in range(count)]
    order = np.random.default_rng(seed).permutation(len(everybody))
    people = {f"clip {number}": str(everybody[at]) for number, at in enumerate(order)}
    assume(len(people) > wanted)
    training, aside, strangers = split(people, wanted)
    assert len(aside) == wanted
    assert not set(training) & set(aside)
    assert all(keys == [key for key in people if key in set(keys)] for keys in (training, aside)), "in the source's order"
    unused = len(people) - len(training) - len(aside)
    assert training
    assert unused <= SPARED * len(people)
    shared = {people[key] for key in training} & {people[key] for key in aside}
    if strangers:
        assert not shared
    else:
        assert unused == 0
        assert aside == list(people)[:wanted]


def test_a_person_can_be_a_folder_of_videos(tmp_path: Path) -> None:
    names = ["anna/one", "anna/two", "ben/one", "carl"]
    with ShardWriter(tmp_path) as writer:
        for name in names:
            writer.add(replace(source()[0], key=name.replace("/", "-"), person=name))
    data = DataConfig(shards=str(tmp_path), held_out=1)

    def keys(people: str, held_out: bool) -> list[str]:
        return result(clip_source(replace(data, people=people), tiny.config(), held_out=held_out)).keys

    assert (keys("video", True), keys("video", False)) == (["anna-one"], ["anna-two", "ben-one", "carl"])
    assert (keys("folder", True), keys("folder", False)) == (["ben-one"], ["anna-one", "anna-two", "carl"])
    with pytest.raises(OptionError, match=r"has 4 clips and data\.held_out is 4"):
        result(clip_source(replace(data, held_out=4), tiny.config(), held_out=True))


def test_that_strangers_are_not_judged_is_said(tmp_path: Path) -> None:
    with ShardWriter(tmp_path) as writer:
        for number in range(3):
            writer.add(replace(source()[0], key=f"clip-{number}", person="one video"))
    events = list(clip_source(DataConfig(shards=str(tmp_path), held_out=1), tiny.config(), held_out=True))
    assert [event.text for event in events if isinstance(event, Notice)] == [
        f"The held-out clips of {tmp_path} show people who are trained on: it has 1, and keeping whole people aside would cost too many "
        "clips. Validation does not say how the network does on strangers."
    ]


@pytest.mark.parametrize("data", [DataConfig(seed=1_000_000), DataConfig(seed=899_500), DataConfig(seed=99_999)])
def test_people_kept_for_judging_are_not_trained_on(data: DataConfig) -> None:
    with pytest.raises(OptionError, match=r"kept for validation, from 1,000,000 on for evaluation: set data.seed to at most 99,992"):
        result(clip_source(data, tiny.config(), held_out=False))


def test_shards_of_another_size_are_refused_before_they_are_cached(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, clips_per_shard=2) as writer:
        for number in range(2):
            writer.add(source()[number])
    model = tiny.config()
    larger = replace(model, face=replace(model.face, image_size=2 * model.face.image_size))
    with pytest.raises(OptionError, match=r"are crops of 64 pixels .* the model takes 128 .*prepare --preset"):
        result(clip_source(DataConfig(shards=str(tmp_path), held_out=1), larger, held_out=False))


def test_shards_may_move(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "here") as writer:
        for number in range(3):
            writer.add(replace(source()[0], key=f"clip-{number}"))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = (
        result(clip_source(DataConfig(shards=str(tmp_path / name), held_out=1), tiny.config(), held_out=False)).facts
        for name in ("here", "there")
    )
    assert here == there


def test_clips_made_again_under_the_same_names_are_others(tmp_path: Path) -> None:
    """A cache of the old ones would be trained on unseen."""

    def facts(frames: int) -> dict[str, Any]:
        with ShardWriter(tmp_path) as writer:
            for number in range(3):
                writer.add(replace(source(frames=frames)[0], key=f"clip-{number}"))
        return result(clip_source(DataConfig(shards=str(tmp_path), held_out=1), tiny.config(), held_out=False)).facts

    first, again, shorter = facts(6), facts(6), facts(3)
    assert first == again
    assert first["clips"] == shorter["clips"]
    assert first != shorter


def test_videos_of_one_person_each_lose_nothing_and_one_person_alone_is_trained_on() -> None:
    several = {f"clip {number}": f"video {number}" for number in range(5)}
    assert split(several, 2) == (list(several)[2:], list(several)[:2], True)
    alone = dict.fromkeys(several, "video")
    assert split(alone, 2) == (list(alone)[2:], list(alone)[:2], False)


@pytest.mark.slow
def test_a_damaged_clip_is_named(tmp_path: Path) -> None:
    store = build(tmp_path, 1)
    (tmp_path / f"{store.keys[0]}.safetensors").write_bytes(b"broken")
    with pytest.raises(PortraitError, match=r"rendered-0000000.safetensors is damaged"):
        Store(tmp_path).read(0, ("frames",), slice(None))
    (tmp_path / "store.json").write_text(json.dumps({"clips": []})[:-3])
    with pytest.raises(PortraitError, match="no finished store"):
        Store(tmp_path)


def test_colour_jitter_changes_colours_and_nothing_else() -> None:
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25
    rng = np.random.default_rng(0)
    assert torch.allclose(colour_jitter(images, 0.0, rng), images, atol=1e-6)
    changed = colour_jitter(images, 0.4, rng)
    assert changed.shape == images.shape
    assert 0 <= changed.min() <= changed.max() <= 1
    assert ((changed - images).abs().mean(dim=(1, 2, 3)) > 0.01).all(), "each picture"
    grey = torch.full((2, 3, 8, 8), 0.5)
    hueless = colour_jitter(grey, 0.4, rng)
    assert (hueless.max(dim=1).values - hueless.min(dim=1).values).max() < 1e-5, "grey has no hue to turn"


def test_crop_jitter_moves_the_picture() -> None:
    images = torch.zeros(1, 3, 32, 32)
    images[:, :, 14:18, 14:18] = 1
    rng = np.random.default_rng(1)
    assert torch.allclose(crop_jitter(images, shift=0, stretch=0, rng=rng), images, atol=1e-5)
    moved = crop_jitter(images, shift=0.2, stretch=0.0, rng=rng)
    weight = moved[0, 0] / moved[0, 0].sum()
    centre = torch.stack([(weight.sum(0) * torch.arange(32)).sum(), (weight.sum(1) * torch.arange(32)).sum()])
    assert 0.5 < float((centre - 15.5).norm()) < 0.2 * 32 * 1.5


def test_regions_are_where_the_points_are() -> None:
    points = torch.tensor([[[24.0, 24], [40, 24], [32, 34], [26, 44], [38, 44]]])
    weight = region_weight(points, 64, 16, face=1.0, features=2.0)
    assert weight.shape == (1, 1, 16, 16)
    eye, mouth, cheek, corner = (float(weight[0, 0, y // 4, x // 4]) for x, y in ((24, 24), (32, 44), (24, 36), (2, 2)))
    assert eye > 2.5
    assert mouth > 2.5
    assert 1.5 < cheek < eye
    assert corner == pytest.approx(1, abs=0.05)
    mirrored = region_weight(torch.stack([64 - points[..., 0], points[..., 1]], dim=-1)[:, [1, 0, 2, 4, 3]], 64, 16, face=1.0, features=2.0)
    assert torch.allclose(mirrored.flip(-1), weight, atol=1e-5)


@pytest.fixture
def anime(tmp_path: Path) -> Path:
    """A model of AnimeGANv3's interface that inverts colours."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    shape = [1, None, None, 3]
    given, drawn = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("generator_input:0", "out:0"))
    graph = helper.make_graph([helper.make_node("Neg", ["generator_input:0"], ["out:0"])], "anime", [given], [drawn])
    path = tmp_path / "AnimeGANv3_test.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def test_a_users_stylizer_restyles_frames_of_any_size(anime: Path) -> None:
    stylizer = AnimeGan(anime)
    for side in (64, 300):
        frame = np.full((side, side, 3), (200, 100, 0), np.uint8)
        assert np.abs(stylizer.restyle(frame).astype(int) - (55, 155, 255)).max() <= 1
        assert stylizer.restyle(frame).shape == frame.shape


def test_a_stylizer_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"There is no stylizer .*AnimeGANv3"):
        AnimeGan(tmp_path / "absent.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no")
    with pytest.raises(OptionError, match=r"broken.onnx is not an ONNX model"):
        AnimeGan(tmp_path / "broken.onnx")


def test_released_crops_have_the_released_sizes() -> None:
    face = PortraitConfig.released().face
    clip = RenderedSource(replace(tiny.DATA, frames=1, rest_frame=False), face)[0]
    assert clip.frames.shape == (1, 512, 512, 3)
    assert clip.motion_crops.shape == clip.head_crops.shape == (1, 256, 256, 3)


def test_features_are_of_jittered_crops_and_restyled_frames() -> None:
    """Colours of the crops change from variant to variant but the first (paper 3.5); a stylizer changes the frames alone."""
    from hp_core.training.features import ClipEncoder
    from hp_core.weights.load import PortraitModels

    model = tiny.config()
    networks: Any = tiny.networks(model)
    models = PortraitModels(config=model, identity=tiny.Likeness(), fingerprint="tiny", **networks)
    clip = RenderedSource(tiny.DATA, model.face)[0]

    def seen(**options: Any) -> dict[str, torch.Tensor]:
        return ClipEncoder(models, device=torch.device("cpu"), variants=2, jitter=0.4, **options)(clip)

    plain, styled = seen(), seen(stylizer=lambda clip: 255 - clip.frames, style_share=1.0)
    none = seen(stylizer=lambda clip: 255 - clip.frames, style_share=0.0)
    assert not torch.allclose(plain["feature"][:, 1], plain["feature"][:, 0])
    for name in ("latents", "vit", "id"):
        assert not torch.equal(plain[name], styled[name])
        assert torch.equal(plain[name], none[name])
    assert torch.equal(plain["feature"][:, 0], styled["feature"][:, 0])
