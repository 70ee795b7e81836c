"""Pictures of every kind that `load_image` takes, and every file it refuses."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hp_core.errors import ImageError
from hp_core.image import load_image

WIDTH, HEIGHT = 80, 96


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """(96, 80, 3) uint8: red grows to the right, green downward, with a blue mark at the top left."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    pixels = np.stack([x * 3, y * 2, np.full_like(x, 40)], axis=2).astype(np.uint8)
    pixels[:16, :16, 2] = 220
    return pixels


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def png_16_bit_rgb(path: Path, pixels: np.ndarray) -> Path:
    """A PNG of (height, width, 3) uint16, which Pillow reads but does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


def test_8_bit_rgb_comes_unchanged(picture: np.ndarray, tmp_path: Path) -> None:
    loaded = load_image(saved(tmp_path / "a.png", Image.fromarray(picture)))
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, picture)


def profile_of_primaries(*columns: tuple[float, float, float]) -> bytes:
    """An ICC profile of a display with these primaries (XYZ at D50) and gamma 2.2."""
    numbers = [b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(x * 65536) for x in column)) for column in columns]
    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    entries = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), numbers, strict=True)) | {b"wtpt": white}
    entries |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma)
    table, data, at = struct.pack(">I", len(entries)), b"", 128 + 4 + 12 * len(entries)
    for name, value in entries.items():
        table += name + struct.pack(">II", at + len(data), len(value))
        data += value
    size = at + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"\0" * 4, 0x02100000, b"mntr", b"RGB ", b"XYZ ") + b"\0" * 12 + b"acsp"
    return head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061).ljust(60, b"\0") + table + data


SRGB = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7142)


def test_a_colour_profile_is_applied(picture: np.ndarray, tmp_path: Path) -> None:
    """Of a display whose red is green and whose green is red."""
    picture = picture // 2 + 40  # no negative light, no crushed shadows
    swapped = profile_of_primaries(SRGB[1], SRGB[0], SRGB[2])
    loaded = load_image(saved(tmp_path / "a.png", Image.fromarray(picture), icc_profile=swapped)).astype(int)
    assert np.abs(loaded - picture[..., [1, 0, 2]]).max() <= 6, "but for the curve, which is not quite sRGB's"
    plain = load_image(saved(tmp_path / "b.png", Image.fromarray(picture), icc_profile=profile_of_primaries(*SRGB))).astype(int)
    assert np.abs(plain - picture).max() <= 6


@pytest.mark.parametrize("profile", [b"no profile", profile_of_primaries(*SRGB)[:90]])
def test_a_broken_colour_profile_is_left_alone(profile: bytes, picture: np.ndarray, tmp_path: Path) -> None:
    np.testing.assert_array_equal(load_image(saved(tmp_path / "a.png", Image.fromarray(picture), icc_profile=profile)), picture)


def test_grey_and_bilevel_become_equal_channels(picture: np.ndarray, tmp_path: Path) -> None:
    grey = picture[..., 0]
    np.testing.assert_array_equal(load_image(saved(tmp_path / "a.png", Image.fromarray(grey))), np.repeat(grey[..., None], 3, 2))
    bilevel = load_image(saved(tmp_path / "b.png", Image.fromarray(grey).point(lambda v: 255 * (v > 100), "1")))
    np.testing.assert_array_equal(bilevel, np.repeat(255 * (grey > 100)[..., None], 3, 2))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode: str, picture: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray(picture).convert(mode)
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, 30:50], alpha[:, 50:] = 128, 0
    image.putalpha(Image.fromarray(alpha))
    opaque = np.asarray(image.convert("RGB")).astype(float)
    weight = alpha[..., None] / 255
    loaded = load_image(saved(tmp_path / "a.png", image))
    np.testing.assert_allclose(loaded, opaque * weight + 255 * (1 - weight), atol=1)


def test_a_transparent_colour_of_an_rgb_png_becomes_white(picture: np.ndarray, tmp_path: Path) -> None:
    pixels = picture.copy()
    pixels[20:40] = (1, 2, 3)
    loaded = load_image(saved(tmp_path / "a.png", Image.fromarray(pixels), transparency=(1, 2, 3)))
    assert (loaded[20:40] == 255).all()
    np.testing.assert_array_equal(loaded[40:], pixels[40:])


@pytest.mark.parametrize("transparent", [False, True])
def test_palettes_are_resolved(transparent: bool, tmp_path: Path) -> None:
    indices = np.zeros((HEIGHT, WIDTH), np.uint8)
    indices[:, 40:] = 1
    image = Image.fromarray(indices, "L").convert("P")
    image.putdata(indices.reshape(-1).tolist())
    image.putpalette([200, 30, 10, 20, 90, 160])
    loaded = load_image(saved(tmp_path / "a.png", image, **({"transparency": 1} if transparent else {})))
    assert (loaded[:, :40] == (200, 30, 10)).all()
    assert (loaded[:, 40:] == ((255, 255, 255) if transparent else (20, 90, 160))).all()


def test_16_bit_grey_is_scaled_to_8(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
    loaded = load_image(saved(tmp_path / "a.png", Image.fromarray(ramp)))
    assert loaded[0, 0].tolist() == [0, 0, 0]
    assert loaded[-1, -1].tolist() == [255, 255, 255]
    np.testing.assert_allclose(loaded[..., 1], ramp / 257, atol=0.51)


def test_16_bit_rgb_is_scaled_to_8(picture: np.ndarray, tmp_path: Path) -> None:
    loaded = load_image(png_16_bit_rgb(tmp_path / "a.png", picture.astype(np.uint16) * 257))
    np.testing.assert_allclose(loaded, picture, atol=1)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a.transpose(1, 0, 2)[::-1, ::-1]),
        (8, lambda a: np.rot90(a)),
    ],
)
def test_exif_orientation_is_applied(
    orientation: int, upright: Callable[[np.ndarray], np.ndarray], picture: np.ndarray, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load_image(saved(tmp_path / "a.png", Image.fromarray(picture), exif=exif))
    np.testing.assert_array_equal(loaded, upright(picture))


def test_cmyk_jpeg_has_the_right_colours(tmp_path: Path) -> None:
    image = Image.new("RGB", (WIDTH, HEIGHT), (200, 60, 30))
    loaded = load_image(saved(tmp_path / "a.jpg", image.convert("CMYK"), quality=95))
    np.testing.assert_allclose(loaded.mean((0, 1)), (200, 60, 30), atol=4)


def test_the_smallest_side_allowed_is_64(tmp_path: Path) -> None:
    assert load_image(saved(tmp_path / "a.png", Image.new("RGB", (64, 90)))).shape == (90, 64, 3)
    with pytest.raises(ImageError, match=r"b\.png is 90x63 pixels; each side must have at least 64"):
        load_image(saved(tmp_path / "b.png", Image.new("RGB", (90, 63))))
    with pytest.raises(ImageError, match=r"c\.png is 32x32 pixels"):
        load_image(saved(tmp_path / "c.png", Image.new("RGB", (32, 32))))


def test_a_path_without_a_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    for name, what in (
        ("", "is a folder"),
        ("gone.png", "does not exist"),
        ("notes.png", "is not a picture"),
        ("empty.png", "is not a picture"),
    ):
        with pytest.raises(ImageError) as caught:
            load_image(tmp_path / name)
        assert f"{tmp_path / name} {what}" in str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.tif"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_truncated_picture_is_refused(name: str, share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    path = saved(tmp_path / name, Image.fromarray(noise))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError) as caught:
        load_image(path)
    assert str(path) in str(caught.value)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match=r"a\.png is damaged or too large"):
        load_image(saved(tmp_path / "a.png", Image.new("RGB", (WIDTH, HEIGHT))))


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.tif holds floating-point pixels"):
        load_image(saved(tmp_path / "a.tif", Image.fromarray(np.ones((HEIGHT, WIDTH), np.float32))))
