"""Augmentation: image and labels move together, in space and not in pixels, and by chance that can be repeated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hexscope.models.instances import instance_planes

torch = pytest.importorskip("torch")

from hexscope.train.augment import UNKNOWN, Changes, matrices, moved, one_hot, recoloured, turned_back  # noqa: E402

WINDOW, PATCH, SPACING = (12, 18, 26), (6, 10, 14), (3.0, 0.7, 0.5)
STILL = Changes((0.0, 0.0, 0.0), zoom=0.0, stretch=0.0)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(batch: int = 2) -> torch.Tensor:
    return torch.arange(batch * math.prod(WINDOW), dtype=torch.float32).view(batch, 1, *WINDOW)


def test_no_change_is_a_crop() -> None:
    image = picture()
    labels = (image[:, 0] % 3).to(torch.uint8)
    linear = matrices(STILL, SPACING, 2, chance())
    shift = torch.tensor([[0.0, 0.0, 0.0], [1.0, -2.0, 3.0]])
    out, target, known = moved(image, labels, linear, shift, PATCH, 3)
    assert torch.allclose(out[0], image[0, :, 3:9, 4:14, 6:20], atol=0.05)
    assert torch.allclose(out[1], image[1, :, 4:10, 2:12, 9:23], atol=0.05)
    assert torch.allclose(target[0], one_hot(labels, 3)[0, :, 3:9, 4:14, 6:20], atol=1e-3)
    assert torch.allclose(known, torch.ones_like(known), atol=1e-4)


def test_image_and_labels_move_together() -> None:
    image = picture(4)
    labels = (image[:, 0] > image.median()).to(torch.uint8)
    linear = matrices(Changes((15.0, 15.0, 15.0), 0.2, 0.05, (2,)), SPACING, 4, chance(3))
    shift = torch.randn(4, 3, generator=chance(4))
    seen, target, _ = moved(labels[:, None].float(), labels, linear, shift, PATCH, 2)
    inside = target.sum(1) > 0.999
    assert torch.allclose(seen[:, 0][inside], target[:, 1][inside], atol=1e-4)


def test_a_turn_is_a_turn_in_space() -> None:
    """Lengths in mm are kept, whatever the pixels' shape."""
    linear = matrices(Changes((40.0, 40.0, 40.0), 0.0, 0.0), SPACING, 8, chance(1))
    space = torch.diag(torch.tensor(SPACING))
    in_mm = space @ linear @ torch.linalg.inv(space)
    assert torch.allclose(in_mm @ in_mm.transpose(1, 2), torch.eye(3).expand(8, 3, 3), atol=1e-5)
    assert float((linear - torch.eye(3)).abs().max()) > 0.1


def test_only_allowed_axes_are_mirrored() -> None:
    linear = matrices(Changes((0.0, 0.0, 0.0), 0.0, 0.0, (2,)), SPACING, 32, chance())
    signs = torch.diagonal(linear, dim1=1, dim2=2).sign()
    assert (signs[:, :2] == 1).all() and {-1.0, 1.0} == set(signs[:, 2].tolist())
    flat = matrices(Changes((0.0,), 0.0, 0.0, (0,)), (1.0, 1.0), 32, chance())
    assert (torch.diagonal(flat, dim1=1, dim2=2)[:, 1] == 1).all()


def test_unknown_pixels_and_what_lies_beyond_ask_nothing() -> None:
    image = picture(1)
    labels = torch.ones(1, *WINDOW, dtype=torch.uint8)
    labels[:, :, :, 13:] = UNKNOWN
    far = torch.tensor([[6.0, 0.0, 0.0]])
    for planes in (2, 12):  # interpolated, and by the nearest pixel
        _, target, known = moved(image, labels, torch.eye(3)[None], torch.zeros(1, 3), PATCH, planes)
        assert float(known[..., 8:].max()) == 0 and float(known[..., :6].min()) > 0.99
        assert float(target[:, 1, :, :, :6].min()) > 0.99
        _, _, known = moved(image, labels, torch.eye(3)[None], far, PATCH, planes)
        assert float(known[:, :, 3:].max()) < 1e-4
    shares = torch.full((1, 2, *WINDOW), 254, dtype=torch.uint8)
    shares[..., 13:] = UNKNOWN
    _, target, known = moved(image, shares, torch.eye(3)[None], torch.zeros(1, 3), PATCH, 2)
    assert float(known[..., 8:].max()) == 0 and float(target[..., :6].min()) > 0.99


def test_the_same_chance_gives_the_same_picture() -> None:
    changes = Changes((15.0,), gamma=0.3, noise=0.2, blur=0.5)
    image = torch.randn(3, 2, 20, 24, generator=chance())
    first = recoloured(image.clone(), changes, chance(5))
    assert torch.equal(first, recoloured(image.clone(), changes, chance(5)))
    assert not torch.equal(first, recoloured(image.clone(), changes, chance(6)))
    assert torch.isfinite(first).all()
    assert torch.equal(recoloured(image.clone(), Changes((0.0,), brightness=0, contrast=0, noise=0), chance()), image)


def test_directions_turn_with_the_picture() -> None:
    """Objects of a moved picture: their middles lie where the moved directions say."""
    y, x = np.mgrid[:64, :64]
    ids = np.where((y - 22) ** 2 / 2 + (x - 24) ** 2 < 90, 1, 0) + np.where(
        (y - 40) ** 2 + (x - 42) ** 2 / 2 < 80, 2, 0
    )
    planes = torch.from_numpy(instance_planes(ids))[None]
    labels = torch.round(254 * planes).to(torch.uint8)
    changes = Changes((180.0,), zoom=0.2, flips=(0, 1))
    linear = matrices(changes, (1.0, 1.0), 1, torch.Generator().manual_seed(5))
    image = torch.from_numpy(ids.astype(np.float32))[None, None]
    picture, target, _ = moved(image, labels, linear, torch.zeros(1, 2), (64, 64), 3)
    told = turned_back(target, linear)[0, 1:].numpy()
    seen = instance_planes(np.round(picture[0, 0].numpy()).astype(int) * (target[0, 0].numpy() > 0.99))
    inside = (target[0, 0].numpy() > 0.99) & (np.abs(seen[1:] - 0.5).sum(axis=0) > 0.2)
    assert inside.sum() > 200 and np.abs(told - seen[1:])[:, inside].mean() < 0.03
