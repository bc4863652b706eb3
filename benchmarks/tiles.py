"""Random tiles of a slide: what OpenSlide gives, and what we give from the same places, in CPU seconds.

    python benchmarks/tiles.py [SLIDE] [--tile 512] [--count 200] [--repeat 3]

SLIDE is anything that OpenSlide opens; where it opens nothing (some DICOM slides), our figure stands alone. Without
SLIDE a JPEG pyramid of 4096 x 4096 is made. OpenSlide gives a picture (RGBA), we give an array (RGB on white). The
pixels are compared. 0.9 and more is the aim.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
from PIL import Image

import hexscope as hx
from hexscope.core.pixels import Pixels
from hexscope.io.slide import save_pyramid


def seconds(places: list[tuple[int, int]], read: Callable[[int, int], object]) -> float:
    start = time.process_time()
    for y, x in places:
        read(y, x)
    return time.process_time() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("slide", type=Path, nargs="?")
    options.add_argument("--tile", type=int, default=512)
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--repeat", type=int, default=3)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if chosen.slide is None:
            chosen.slide = made_slide(Path(name) / "made.tif")
        compare(chosen)


def made_slide(path: Path) -> Path:
    """Blots of two stains with noise."""
    y, x = np.mgrid[:4096, :4096]
    blots = np.sin(x / 23) * np.sin(y / 31) + np.sin((x + y) / 97)
    colour = np.stack([220 - 30 * blots, 170 - 50 * blots, 210 - 20 * blots], axis=-1)
    noise = np.random.default_rng(0).normal(0, 6, colour.shape)
    save_pyramid((colour + noise).clip(0, 255).astype(np.uint8), path, spacing_mm=(0.0005, 0.0005))
    return path


def compare(chosen: argparse.Namespace) -> None:
    image = hx.read(chosen.slide)
    assert isinstance(image, hx.Image)
    height, width = image.shape[:2]
    size = min(chosen.tile, height, width)
    rng = np.random.default_rng(0)
    ys, xs = (rng.integers(0, n - size + 1, chosen.count) for n in (height, width))
    places = list(zip(ys.tolist(), xs.tolist(), strict=True))
    rows: dict[str, list[float]] = {"OpenSlide": [], "hexscope": []}
    for _ in range(chosen.repeat + 1):
        slide = opened(chosen.slide)  # a fresh cache for either
        pixels = hx.read(chosen.slide).pixels

        def ours(y: int, x: int, pixels: Pixels = pixels) -> np.ndarray:
            return pixels.read((slice(y, y + size), slice(x, x + size)))

        def theirs(y: int, x: int, slide: openslide.OpenSlide | None = slide) -> Image.Image:
            return slide.read_region((x, y), 0, (size, size))

        if slide is not None:
            rows["OpenSlide"].append(seconds(places, theirs))
        rows["hexscope"].append(seconds(places, ours))
    print(f"{chosen.count} tiles of {size} x {size} of {chosen.slide.name}, median of {chosen.repeat} (first left out)")
    medians = {name: float(np.median(times[1:])) for name, times in rows.items() if times}
    for name, cpu in medians.items():
        print(
            f"{name:<12}{1000 * cpu / chosen.count:>8.2f} CPU ms a tile{chosen.count / cpu:>10.0f} tiles a CPU second"
        )
    if slide is None:
        print("OpenSlide does not open this slide")
        return
    apart = [np.abs(ours(y, x) - np.asarray(theirs(y, x).convert("RGB"), int)).max() for y, x in places[:20]]
    ratio = medians["OpenSlide"] / medians["hexscope"]
    print(f"ratio hexscope / OpenSlide: {ratio:.2f}   greatest difference: {max(apart)}")


def opened(path: Path) -> openslide.OpenSlide | None:
    try:
        return openslide.OpenSlide(str(path))
    except openslide.OpenSlideError:
        return None


if __name__ == "__main__":
    main()
