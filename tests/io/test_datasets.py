"""Public sets: fetched from a folder or a loopback server, checked, unpacked safely, and given a table of cases."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hexscope as hx
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.errors import FormatError, InputError, UsageError
from hexscope.io.cases import open_instances, open_mask, read_cases
from hexscope.io.datasets import PublicFile, PublicSet, find_set, get_set, public_sets
from hexscope.io.download import fetch
from hexscope.io.unpack import unpack

BODY = bytes(range(256)) * 9000


class Server:
    """A loopback server: knows ranges or not, and may break off after so many bytes."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.ranges, self.breaks_after = True, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wish = self.headers.get("Range")
                outer.asked.append(wish)
                start = int(wish.removeprefix("bytes=").rstrip("-")) if wish and outer.ranges else 0
                if start >= len(BODY):
                    self.send_error(416)
                    return
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(BODY) - start))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
                self.end_headers()
                stop = outer.breaks_after or len(BODY)
                self.wfile.write(BODY[start:stop])

            def log_message(self, *_: Any) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.bin"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


SHA256 = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
MD5 = f"md5:{hashlib.md5(BODY).hexdigest()}"


def test_a_broken_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    to = tmp_path / "store" / "file.bin"
    server.breaks_after = 1_000_000
    with pytest.raises(InputError, match="run the same command again"):
        fetch(server.url, to)
    assert not to.exists() and to.with_name("file.bin.part").stat().st_size == 1_000_000
    server.breaks_after = 0
    seen: list[tuple[int, int | None]] = []
    assert fetch(server.url, to, checksum=MD5, progress=lambda *at: seen.append(at)) == SHA256
    assert server.asked == [None, "bytes=1000000-"] and to.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY)) and not to.with_name("file.bin.part").exists()
    assert fetch(server.url, to, checksum=SHA256) == SHA256 and len(server.asked) == 2  # kept


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    to = tmp_path / "file.bin"
    to.with_name("file.bin.part").write_bytes(b"stale")
    server.ranges = False
    assert fetch(server.url, to, checksum=SHA256) == SHA256


def test_a_part_that_is_too_long_is_thrown_away(server: Server, tmp_path: Path) -> None:
    to = tmp_path / "file.bin"
    to.with_name("file.bin.part").write_bytes(BODY + b"more")
    assert fetch(server.url, to) == SHA256


def test_what_does_not_fit_its_checksum_is_thrown_away(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was published"):
        fetch(server.url, tmp_path / "file.bin", checksum="md5:" + "0" * 32)
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch((tmp_path / "nothing").as_uri(), tmp_path / "file.bin")


# ---- archives ---------------------------------------------------------------------------------------------


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in files.items():
            pack.writestr(name, content)
    return path


def test_names_that_lead_out_are_refused(tmp_path: Path) -> None:
    for name in ("../evil", "/evil", "a/../../evil", "C:\\evil", "..\\evil"):
        with pytest.raises(FormatError, match="leads out"):
            unpack(zipped(tmp_path / "a.zip", **{name: b"x"}), tmp_path / "in", most_bytes=100)
    assert not (tmp_path / "evil").exists()


def test_a_tar_gives_files_only(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as pack:
        for name in ("set/a.txt", "set/._a.txt"):
            info = tarfile.TarInfo(name)
            info.size = 3
            pack.addfile(info, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("set/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        pack.addfile(link)
    assert unpack(path, tmp_path / "in", most_bytes=100) == 1
    assert [p.name for p in (tmp_path / "in/set").iterdir()] == ["a.txt"]


def test_a_bomb_is_stopped(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", zeros=bytes(5_000_000))
    assert path.stat().st_size < 10_000
    with pytest.raises(FormatError, match="more than was allowed"):
        unpack(path, tmp_path / "in", most_bytes=1_000_000)


def test_a_broken_archive(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", a=b"hello" * 1000)
    path.write_bytes(path.read_bytes().replace(b"hello"[:1], b"j", 1)[:-30])
    with pytest.raises(FormatError, match="cannot be unpacked"):
        unpack(path, tmp_path / "in", most_bytes=10_000)


# ---- sets -------------------------------------------------------------------------------------------------


def png(array: np.ndarray[Any, Any]) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.png"
        hx.save(Image.from_array(array), path)
        return path.read_bytes()


def entry(layout: str, *names: str, checksum: str | None = None) -> PublicSet:
    files = tuple(PublicFile(f"https://example.org/{name}", name, checksum) for name in names)
    return PublicSet("mine", "a set", "CC0 1.0", "https://example.org", layout=layout, files=files)


def test_every_known_set_says_what_it_must() -> None:
    for known in public_sets():
        assert known.title and known.licence and known.page.startswith("http")
        for file in known.files:
            assert file.url.startswith("https://") and file.name
            assert file.checksum is None or file.checksum.partition(":")[0] in ("md5", "sha256")
    with pytest.raises(UsageError, match="known are mr-hippocampus"):
        find_set("moon")
    assert find_set("mr-hippocampus").as_json()["direct"]


def test_a_set_without_address_says_where_to_ask(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ask for it at https.*licence: CC BY 3\.0"):
        get_set(find_set("pet-ct-mr-sarcoma"), tmp_path / "out")


def test_breast_layout_from_a_folder(tmp_path: Path) -> None:
    grey = np.arange(35, dtype=np.uint8).reshape(5, 7)
    top, low = np.zeros((5, 7), np.uint8), np.zeros((5, 7), np.uint8)
    top[1, 2], low[3, 4] = 255, 255
    root = "Dataset_BUSI_with_GT"
    files = {
        f"{root}/benign/benign (3).png": png(grey),
        f"{root}/benign/benign (3)_mask.png": png(top),
        f"{root}/benign/benign (3)_mask_1.png": png(low),
        f"{root}/normal/normal (1).png": png(grey + 1),
    }
    (tmp_path / "mirror").mkdir()
    zipped(tmp_path / "mirror/busi.zip", **files)
    got = get_set(entry("breast", "busi.zip"), tmp_path / "out", source=str(tmp_path / "mirror"))
    assert got.cases == 2 and got.licence == "CC0 1.0" and "sha256:" in got.notes[0]
    assert "LICENCE.txt" in got.files and not list(tmp_path.glob(".*"))
    table = read_cases(tmp_path / "out")
    assert [(c.case, c.label) for c in table.cases] == [("benign-003", "benign"), ("normal-001", "normal")]
    assert sorted(zip(*np.nonzero(open_mask(table.cases[0], table).array), strict=True)) == [(1, 2), (3, 4)]
    assert not open_mask(table.cases[1], table).array.any()
    with pytest.raises(UsageError, match="not empty"):
        get_set(entry("breast", "busi.zip"), tmp_path / "out", source=str(tmp_path / "mirror"))


def test_fetal_head_layout(tmp_path: Path) -> None:
    outline = np.zeros((7, 11), np.uint8)
    outline[1, 2:8] = outline[5, 2:8] = outline[1:6, 2] = outline[1:6, 7] = 255
    grey = np.zeros((7, 11), np.uint8)
    files = {"training_set/010_2HC.png": png(grey), "training_set/010_2HC_Annotation.png": png(outline)}
    zipped(tmp_path / "training_set.zip", **files)
    (tmp_path / "training_set_pixel_size_and_HC.csv").write_text(
        "filename,pixel size(mm),head circumference (mm)\n010_2HC.png,0.25,44.3\n"
    )
    made = entry("fetal head", "training_set.zip", "training_set_pixel_size_and_HC.csv")
    get_set(made, tmp_path / "out", source=tmp_path.as_uri())
    (case,) = (table := read_cases(tmp_path / "out")).cases
    assert (case.group, case.spacing_mm, case.extras["hc_mm"]) == ("010", (0.25,), "44.3")
    assert open_mask(case, table).of(1).sum() == 5 * 6


def test_nuclei_and_pneumonia_layouts(tmp_path: Path) -> None:
    one, two = np.zeros((5, 7), np.uint8), np.zeros((5, 7), np.uint8)
    one[1, 1:3], two[3, 4:6] = 255, 255
    files = {"0123456789abcdef/images/0123456789abcdef.png": png(one)}
    files |= {f"0123456789abcdef/masks/{i}.png": png(m) for i, m in enumerate((one, two))}
    zipped(tmp_path / "n.zip", **files)
    get_set(entry("nuclei", "n.zip"), tmp_path / "nuclei", source=str(tmp_path))
    (case,) = read_cases(tmp_path / "nuclei").cases
    assert case.case == "0123456789ab" and [label.value for label in open_instances(case)] == [1, 2]

    arrays = {f"{s}_images": np.zeros((2, 5, 7), np.uint8) for s in ("train", "val", "test")}
    arrays |= {f"{s}_labels": np.array([[0], [1]]) for s in ("train", "val", "test")}
    np.savez(tmp_path / "p.npz", **arrays)  # type: ignore[arg-type]
    got = get_set(entry("pneumonia", "p.npz"), tmp_path / "pneumonia", source=str(tmp_path))
    assert got.cases == 6 and {c.split for c in read_cases(tmp_path / "pneumonia").cases} == {"train", "val", "test"}


def test_decathlon_layout(tmp_path: Path, oblique_grid: Grid) -> None:
    import json

    hx.save(Image.from_array(np.zeros((5, 7, 11), np.float32), oblique_grid), tmp_path / "a.nii.gz")
    listed = [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]
    words = json.dumps({"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "Anterior"}, "training": listed})
    data = (tmp_path / "a.nii.gz").read_bytes()
    zipped(
        tmp_path / "t.zip",
        **{"T/dataset.json": words.encode(), "T/imagesTr/a.nii.gz": data, "T/labelsTr/a.nii.gz": data},
    )
    assert get_set(entry("decathlon", "t.zip"), tmp_path / "out", source=str(tmp_path)).cases == 1
    (case,) = read_cases(tmp_path / "out").cases
    assert case.inputs["image"] == tmp_path / "out/T/imagesTr/a.nii.gz"


def test_a_set_that_changed_leaves_nothing(tmp_path: Path) -> None:
    zipped(tmp_path / "x.zip", a=b"x")
    with pytest.raises(FormatError, match="changed its layout"):
        get_set(entry("breast", "x.zip"), tmp_path / "out", source=str(tmp_path))
    assert not (tmp_path / "out").exists()
    bad = replace(entry("breast", "x.zip", checksum=SHA256))
    with pytest.raises(InputError, match="was published"):
        get_set(bad, tmp_path / "two", source=str(tmp_path))
    assert not (tmp_path / "two").exists()
