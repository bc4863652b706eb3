"""Training from a table to a model folder, on small made-up cases (synthetic): volumes, pictures, objects."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import hexscope as hx  # noqa: E402
from hexscope.core.geometry import Grid  # noqa: E402
from hexscope.core.image import Image, Mask  # noqa: E402
from hexscope.errors import UsageError  # noqa: E402
from hexscope.evaluate.segmentation import evaluate_model  # noqa: E402
from hexscope.io.cases import open_images, read_cases  # noqa: E402
from hexscope.models.shelf import Model  # noqa: E402
from hexscope.train.order import Order  # noqa: E402
from hexscope.train.plan import Plan  # noqa: E402
from hexscope.train.session import train  # noqa: E402

SMALL = {"encoder": "scratch", "width": "8", "head": "8", "batch": "2"}


def volume_grid(number: int) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, ::-1] * np.array([1.6, 0.9, 1.1])
    affine[:3, 3] = [-31.5 + number, 17.25, 102.0]
    return Grid((18, 26, 22), affine)


def volumes(folder: Path, count: int = 8) -> Path:
    """A brighter ball in noise; every third lies turned by quarter turns in its file, as other planes of a scanner."""
    rows = ["case,group,image,mask"]
    chance = np.random.default_rng(0)
    for number in range(count):
        grid = volume_grid(number)
        middle = chance.uniform(0.35, 0.65, 3) * grid.shape
        index = np.moveaxis(np.indices(grid.shape), 0, -1)
        ball = (((index - middle) * [1.6, 0.9, 1.1]) ** 2).sum(-1) < 6.0**2
        pixels = (100 + 80 * ball + chance.normal(0, 15, grid.shape)).astype(np.float32)
        if number % 3 == 0:
            grid, pixels, ball = grid.permute((2, 0, 1)), pixels.transpose(2, 0, 1), ball.transpose(2, 0, 1)
        hx.save(Image.from_array(pixels, grid, modality="MR"), folder / f"i{number}.nii.gz")
        hx.save(Mask.from_array(ball, grid, {1: "ball"}), folder / f"m{number}.nii.gz")
        rows.append(f"c{number},p{number},i{number}.nii.gz,m{number}.nii.gz")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder / "cases.csv"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(table, model folder)."""
    folder = tmp_path_factory.mktemp("cases")
    table = volumes(folder)
    out = tmp_path_factory.mktemp("models") / "ball"
    stages = set()

    def progress(stage: str, done: int, total: int, figures: object) -> None:
        assert 0 < done <= total
        stages.add(stage)

    order = Order("ball", seed=1, overrides={**SMALL, "iterations": "60"}, kinds={"image": "MR"}, progress=progress)
    result = train("segment", read_cases(table), out, order)
    assert stages == {"check", "prepare", "train", "measure"}
    assert result.validation.metrics["dice"].mean > 0.8 and result.cpu_s > 0
    return table, out


def test_the_folder_holds_all_that_was_promised(trained: tuple[Path, Path]) -> None:
    _, out = trained
    card = Model.open(out).card
    assert card.name == "ball" and card.values == (1,)
    assert card.metrics["dice"][3] == 2 and card.recipe is not None and card.recipe.spacing_mm is not None
    assert card.training["iterations"] == 60 and card.fingerprint["cases"] == 6
    plan = Plan.read(out)
    assert plan["width"] == 8 and "width" in plan.overridden
    kept = (out / "weights.int8.onnx").is_file()
    assert str(card.training["int8"]).startswith("kept" if kept else "left out")
    assert str(card.training["mirror"]).startswith("kept" if card.recipe.mirror else "left out")
    for name in ("weights.onnx", "training/checkpoint.pt", "training/curve.csv", "training/split.csv"):
        assert (out / name).stat().st_size > 0
    rows = (out / "training" / "split.csv").read_text().splitlines()[1:]
    groups = {side: {r.split(",")[1] for r in rows if r.endswith(f",{side}")} for side in ("train", "validation")}
    assert groups["train"] and groups["validation"] and not groups["train"] & groups["validation"]
    assert len((out / "training" / "per_case.csv").read_text().splitlines()) == 1 + len(groups["validation"])


def test_the_card_says_what_anyone_can_measure_again(trained: tuple[Path, Path]) -> None:
    """Training's validation, Python and the graph on disk give the same numbers."""
    table, out = trained
    model = Model.open(out)
    rows = (out / "training" / "split.csv").read_text().splitlines()[1:]
    held = {r.split(",")[0] for r in rows if r.endswith("validation")}
    cases = read_cases(table)
    again = evaluate_model(model, _only(cases, held), kinds={"image": "MR"}, seed=1)
    for name, estimate in again.metrics.items():
        assert (estimate.mean, estimate.low, estimate.high, estimate.n) == pytest.approx(model.card.metrics[name])
    case = next(c for c in cases.cases if c.case in held)
    image = open_images(case, {"image": "MR"})["image"]
    one = hx.segment(image, model=out).array
    assert np.array_equal(one, model.predict(image).mask.array)


def _only(table: object, names: set[str]) -> object:
    from dataclasses import replace

    return replace(table, cases=tuple(c for c in table.cases if c.case in names))  # type: ignore[attr-defined, type-var]


def test_the_same_seed_gives_the_same_weights(trained: tuple[Path, Path], tmp_path: Path) -> None:
    table, out = trained
    order = Order("ball", seed=1, overrides={**SMALL, "iterations": "60"}, kinds={"image": "MR"})
    train("segment", read_cases(table), tmp_path / "again", order)
    assert (tmp_path / "again" / "weights.onnx").read_bytes() == (out / "weights.onnx").read_bytes()


def test_a_folder_in_use_is_not_overwritten(trained: tuple[Path, Path]) -> None:
    table, out = trained
    with pytest.raises(UsageError, match="holds a model already"):
        train("segment", read_cases(table), out, Order("ball"))
    with pytest.raises(UsageError, match="not there yet"):
        train("register", read_cases(table), out / "new", Order("ball"))
    with pytest.raises(UsageError, match="minutes"):
        Order("ball", minutes=0)


def test_folds_measure_everybody_once(tmp_path: Path) -> None:
    table = volumes(tmp_path, 4)
    order = Order("ball", folds=2, overrides={**SMALL, "iterations": "25"}, kinds={"image": "MR"})
    result = train("segment", read_cases(table), tmp_path / "model", order)
    assert sorted(c.case for c in result.validation.cases) == ["c0", "c1", "c2", "c3"]
    assert "never saw" in Model.open(tmp_path / "model").card.split


def overlapping(folder: Path) -> Path:
    """Discs with a bar across (structures overlap); the bar was outlined in every other case only."""
    from PIL import Image as Picture

    rows = ["case,group,image,mask_disc,mask_bar"]
    chance = np.random.default_rng(4)
    y, x = np.mgrid[:64, :72]
    for number in range(6):
        cy, cx = chance.uniform(25, 40, 2)
        disc = (y - cy) ** 2 + (x - cx) ** 2 < 15**2
        bar = (abs(y - cy) < 4) & (abs(x - cx) < 26)
        pixels = 60 + 60 * disc + 70 * bar + chance.normal(0, 10, disc.shape)
        Picture.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"i{number}.png")
        Picture.fromarray(disc.astype(np.uint8)).save(folder / f"disc{number}.png")
        Picture.fromarray(bar.astype(np.uint8)).save(folder / f"bar{number}.png")
        rows.append(f"c{number},p{number},i{number}.png,disc{number}.png,{f'bar{number}.png' if number % 2 else ''}")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder / "cases.csv"


def test_structures_that_overlap_and_were_not_outlined_everywhere(tmp_path: Path) -> None:
    order = Order("both", overrides={**SMALL, "iterations": "80"}, kinds={"image": "US"})
    result = train("segment", read_cases(overlapping(tmp_path)), tmp_path / "model", order)
    model = Model.open(tmp_path / "model")
    assert model.card.recipe is not None and model.card.recipe.target == "overlapping"
    assert result.plan.facts["partly"] and set(model.card.classes) == {"disc", "bar"}
    mask = hx.segment(hx.read(tmp_path / "i1.png"), model=model)
    assert (mask.of("disc") & mask.of("bar")).sum() > 50
    assert result.validation.metrics["dice"].mean > 0.7


def test_a_busier_machine_changes_nothing_of_a_training_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cases").mkdir()
    table, out = read_cases(volumes(tmp_path / "cases", 4)), tmp_path / "model"
    lesson = import_module("hexscope.train.lesson")  # hexscope.train, as a name, is the verb
    order = Order("ball", minutes=0.02, overrides=SMALL, kinds={"image": "MR"}, resume=True)
    monkeypatch.setattr(lesson, "seconds_per_iteration", lambda *_: 0.2)
    first = train("segment", table, out, order)
    weights = (out / "weights.onnx").read_bytes()
    word = Model.open(out).card.training["int8"]
    (out / "weights.int8.onnx").write_bytes(b"of another run: must not be measured")
    monkeypatch.setattr(lesson, "seconds_per_iteration", lambda *_: 0.4)
    again = train("segment", table, out, order)
    assert Model.open(out).card.training["int8"] == word
    assert again.plan["iterations"] == first.plan["iterations"]
    assert (out / "weights.onnx").read_bytes() == weights


def pictures(folder: Path) -> Path:
    """Discs that touch, in colour, some marked by a grey image."""
    rows = ["case,group,image,instances"]
    chance = np.random.default_rng(2)
    y, x = np.mgrid[:70, :90]
    for number in range(5):
        objects = np.zeros((70, 90), np.uint16)
        for value in range(1, 13):
            cy, cx = chance.uniform(5, 65), chance.uniform(5, 85)
            objects[(y - cy) ** 2 + (x - cx) ** 2 < 49] = value
        colour = np.array([200, 160, 210]) - np.array([90, 110, 40]) * (objects > 0)[..., None]
        pixels = (colour + chance.normal(0, 8, (70, 90, 3))).clip(0, 255).astype(np.uint8)
        from PIL import Image as Picture

        Picture.fromarray(pixels).save(folder / f"i{number}.png")
        Picture.fromarray(objects).save(folder / f"m{number}.png")
        rows.append(f"c{number},p{number},i{number}.png,m{number}.png")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder / "cases.csv"


def test_objects_in_colour(tmp_path: Path) -> None:
    order = Order("discs", overrides={**SMALL, "iterations": "200"}, kinds={"image": "SM:RGB"})
    result = train("segment", read_cases(pictures(tmp_path), classes={1: "disc"}), tmp_path / "model", order)
    card = Model.open(tmp_path / "model").card
    assert card.recipe is not None and card.recipe.target == "instances" and card.recipe.planes == 3
    assert card.classes == ("disc",)
    assert result.plan["flips"] == (0, 1) and result.plan["view"] == "native"
    assert result.validation.metrics["f1_50"].mean > 0.5


@pytest.mark.slow
def test_two_processes_make_one_model(tmp_path: Path) -> None:
    """The command line through torch's own launcher: one folder, one plan, one model."""
    table = volumes(tmp_path, 4)
    settings = [f"--set={name}={value}" for name, value in (SMALL | {"iterations": "8"}).items()]
    command = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "hexscope",
        "train",
        "segment",
    ]
    rest = [str(table), "--name", "ball", "-o", str(tmp_path / "model"), "--as", "MR", *settings]
    subprocess.run([sys.executable, *command, *rest], check=True, capture_output=True, timeout=300)
    card = Model.open(tmp_path / "model").card
    assert card.training["iterations"] == 8 and card.metrics["dice"][3] == 1
