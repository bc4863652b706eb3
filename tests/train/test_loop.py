"""The loop: the same seed gives the same weights, killed or not, alone or among others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hexscope.errors import FormatError  # noqa: E402
from hexscope.train import checkpoint, loop  # noqa: E402
from hexscope.train.augment import Changes  # noqa: E402
from hexscope.train.loop import Course, learn, pace, turns  # noqa: E402
from hexscope.train.nets import NetShape  # noqa: E402
from hexscope.train.pool import Cutter, Example, Pool  # noqa: E402

SHAPE = NetShape(1, 2, (2, 2), ((2, 2),), ((3, 3),) * 2, (8, 16), 8)
COURSE = Course(
    shape=SHAPE,
    target="classes",
    changes=Changes((15.0,), flips=(1,)),
    cutter=Cutter((24, 16), (32, 24), 0.5),
    spacing=(1.0, 1.0),
    batch=2,
    iterations=14,
    learning_rate=4e-3,
    weight_decay=0.02,
    precision="fp32",
    seed=3,
    key="this one",
    budget_s=60.0,
)


def examples(count: int = 5) -> list[Example]:
    """A bright bar somewhere in noise, a class."""
    chance = np.random.default_rng(0)
    out = []
    for number in range(count):
        labels = np.zeros((30 + number, 22), np.uint8)
        top = int(chance.integers(4, 18))
        labels[top : top + 8, 5:12] = 1
        image = (labels * 2.0 + chance.normal(0, 0.5, labels.shape)).astype(np.float16)[None]
        out.append(Example(f"c{number}", image, labels, (np.argwhere(labels),)))
    return out


def weights(run: loop.Run) -> list[torch.Tensor]:
    return [v.clone() for v in run.net.state_dict().values()]


def alike(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


class Killed(Exception):
    pass


def test_killed_and_gone_on_with_is_as_if_never_killed(tmp_path: Path) -> None:
    whole = learn(COURSE, examples(), tmp_path / "whole", lambda net: {"dice": 0.5})

    def kill(done: int, total: int, figures: object) -> None:
        if done == 9:
            raise Killed

    with pytest.raises(Killed):
        learn(COURSE, examples(), tmp_path / "cut", lambda net: {"dice": 0.5}, kill)
    state = checkpoint.load(tmp_path / "cut", COURSE.key)
    assert state is not None and 0 < state["iteration"] <= 9
    again = learn(COURSE, examples(), tmp_path / "cut", lambda net: {"dice": 0.5})
    assert alike(weights(whole), weights(again))
    assert whole.curve == again.curve
    assert (tmp_path / "cut" / "training" / "curve.csv").read_text().startswith("iteration,loss,dice")


def test_the_seed_decides(tmp_path: Path) -> None:
    first = weights(learn(COURSE, examples(), tmp_path / "a"))
    assert alike(first, weights(learn(COURSE, examples(), tmp_path / "b")))
    assert not alike(first, weights(learn(replace(COURSE, seed=4), examples(), tmp_path / "c")))


def test_it_learns(tmp_path: Path) -> None:
    told = []
    course = replace(COURSE, iterations=120, precision="bf16")
    run = learn(course, examples(), tmp_path, None, lambda done, total, figures: told.append(figures))
    assert run.curve[-1]["loss"] < 0.5 * run.curve[0]["loss"]
    assert len(told) == 120 and [t for t in told if t] == run.curve


def test_cases_in_files_give_the_same(tmp_path: Path) -> None:
    pool = Pool(tmp_path / "cases")
    for example in examples():
        pool.add(example)
    assert isinstance(pool.examples[0].image, np.memmap)
    streamed = learn(replace(COURSE, iterations=4), pool.examples, tmp_path / "a")
    assert alike(weights(streamed), weights(learn(replace(COURSE, iterations=4), examples(), tmp_path / "b")))


def test_a_checkpoint_of_another_training_is_left_alone(tmp_path: Path) -> None:
    learn(replace(COURSE, iterations=3), examples(), tmp_path)
    assert checkpoint.load(tmp_path, "another") is None
    (tmp_path / checkpoint.CHECKPOINT).write_bytes(b"nothing")
    with pytest.raises(FormatError, match="broken"):
        checkpoint.load(tmp_path, COURSE.key)


def test_a_slow_machine_shortens_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_SETTLED_S", 0.0)
    run = learn(replace(COURSE, iterations=100, budget_s=1e-3), examples(), tmp_path)
    assert run.iteration == run.total < 100


def test_each_round_shows_every_case_once() -> None:
    row = turns(7, 5, 0, 20)
    assert all(sorted(row[i : i + 5]) == list(range(5)) for i in range(0, 20, 5))
    assert turns(7, 5, 3, 9) == row[3:12] and row[:5] != row[5:10]


def test_the_learning_rate_rises_and_falls() -> None:
    values = [pace(i / 200) for i in range(201)]
    peak = values.index(max(values))
    assert values[:peak] == sorted(values[:peak]) and values[peak:] == sorted(values[peak:], reverse=True)
    assert 0 < values[0] < 0.02 and 0 < values[-1] < 0.01


def test_patches_are_aimed_at_structures() -> None:
    (example,) = examples(1)
    cutter = Cutter((8, 8), (12, 12), 1.0)
    chance = torch.Generator().manual_seed(0)
    _, labels, shifts, _ = cutter.batch([example] * 40, chance)
    assert all(part[2:10, 2:10].any() for part in labels.numpy() == 1)
    assert float(shifts.abs().max()) <= 0.5


CHILD = """
import sys
from pathlib import Path
from tests.train.test_loop import COURSE, examples
from dataclasses import replace
from hexscope.train.loop import learn
learn(replace(COURSE, iterations=400), examples(), Path(sys.argv[1]), lambda net: {"dice": 0.0},
      lambda done, total, figures: print(done, flush=True))
"""


@pytest.mark.slow
def test_kill_minus_nine(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) > 130:
            child.send_signal(signal.SIGKILL)
            break
    child.wait()
    child.stdout.close()
    course = replace(COURSE, iterations=400)
    begun = checkpoint.load(tmp_path, course.key)
    assert begun is not None and 0 < begun["iteration"] < 400
    again = learn(course, examples(), tmp_path, lambda net: {"dice": 0.0})
    whole = learn(course, examples(), tmp_path / "whole", lambda net: {"dice": 0.0})
    assert alike(weights(whole), weights(again))


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """Through torch's own launcher, on gloo: both end with the same weights."""
    script = tmp_path / "child.py"
    script.write_text(
        textwrap.dedent(f"""
        import os, torch
        from pathlib import Path
        from tests.train.test_loop import COURSE, examples, weights
        from hexscope.train.loop import learn
        from hexscope.train.together import together
        rank = os.environ["RANK"]
        with together("cpu"):
            run = learn(COURSE, examples(), Path({str(tmp_path)!r}))
        trained = [p.detach().clone() for p in run.net.parameters()]
        torch.save(trained, Path({str(tmp_path)!r}) / f"weights{{rank}}.pt")
        """)
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    path = os.pathsep.join(p for p in (str(Path.cwd()), os.environ.get("PYTHONPATH", "")) if p)
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": path}, timeout=120)
    first, second = (torch.load(tmp_path / f"weights{rank}.pt", weights_only=True) for rank in (0, 1))
    assert alike(first, second)
    alone = learn(COURSE, examples(), tmp_path / "alone")
    assert not alike(first, [p.detach() for p in alone.net.parameters()])
