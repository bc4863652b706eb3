"""The header of NIfTI-1 and -2 as bytes, both ways: fields, forms, units, extensions. https://nifti.nimh.nih.gov"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Array
from hexscope.errors import UsageError

#: Fields in the order of the file. NIfTI-1 keeps ANALYZE's order of 1989; NIfTI-2 widens and sorts them anew.
_FIELDS_1 = (
    "sizeof_hdr i4, unused_1 V35, dim_info u1, dim 8i2, intent_p 3f4, intent_code i2, datatype i2, bitpix i2, "
    "slice_start i2, pixdim 8f4, vox_offset f4, scl_slope f4, scl_inter f4, slice_end i2, slice_code u1, "
    "xyzt_units u1, cal_max f4, cal_min f4, slice_duration f4, toffset f4, unused_2 V8, descrip S80, aux_file S24, "
    "qform_code i2, sform_code i2, quatern 3f4, qoffset 3f4, srow 12f4, intent_name S16, magic S4"
)
_FIELDS_2 = (
    "sizeof_hdr i4, magic S8, datatype i2, bitpix i2, dim 8i8, intent_p 3f8, pixdim 8f8, vox_offset i8, scl_slope f8, "
    "scl_inter f8, cal_max f8, cal_min f8, slice_duration f8, toffset f8, slice_start i8, slice_end i8, descrip S80, "
    "aux_file S24, qform_code i4, sform_code i4, quatern 3f8, qoffset 3f8, srow 12f8, slice_code i4, xyzt_units i4, "
    "intent_code i4, intent_name S16, dim_info u1, unused_1 V15"
)
_MAGIC_2 = (b"n+2\0", b"ni2\0")
#: What stands behind the magic of NIfTI-2: a transfer as text would have changed it.
_END_OF_LINES = b"\r\n\x1a\n"

RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
_KINDS: dict[int, Any] = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
#: Kinds that there are and that hold no numbers of ours: bits, complex numbers, four channels.
_UNREAD = {0: "none", 1: "bits", 32: "complex64", 255: "all", 1792: "complex128", 2048: "complex256", 2304: "RGBA"}
_RGB24, _FLOAT128 = 128, 1536
_LENGTHS = {1: "meter", 2: "mm", 3: "micron"}
_TIMES = {8: "sec", 16: "msec", 24: "usec", 32: "hz", 40: "ppm", 48: "rads"}
_LENGTH_BITS, _TIME_BITS = 0x07, 0x38
#: A quaternion this much longer than 1 is rounding of float32, or of float64.
_ROUNDING = {"f4": 3 * float(np.finfo(np.float32).eps), "f8": 3 * float(np.finfo(np.float64).eps)}

VECTOR = 1007  # NIFTI_INTENT_VECTOR
Extension = tuple[int, bytes]
Order = Literal["<", ">"]


def _layout(fields: str, order: Order) -> np.dtype[Any]:
    pairs = [field.split() for field in fields.split(",")]
    return np.dtype([(name, kind) for name, kind in pairs]).newbyteorder(order)


class NiftiHeader:
    """``header[name]`` is a field; ``extensions`` are (code, content) pairs."""

    def __init__(self, fields: NDArray[Any], extensions: Sequence[Extension] = ()) -> None:
        self._fields = fields
        self.extensions = list(extensions)

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._fields[name] = value

    # ---- in -----------------------------------------------------------------------------------------

    @classmethod
    def read(cls, stream: BinaryIO, most: int) -> NiftiHeader:
        """From the beginning of a file. Extensions are read up to byte ``most``, whatever the file claims.

        Raises ValueError where there is no header or an extension is cut short.
        """
        data = stream.read(540)
        layout = _layout_of(data)
        if len(data) < layout.itemsize:
            raise ValueError(f"{len(data)} bytes are no header")
        header = cls(np.frombuffer(bytearray(data[: layout.itemsize]), layout)[0:1].reshape(()))
        behind = most
        if header.is_single:
            offset = float(header["vox_offset"])
            behind = int(offset) if 0 < offset <= most else 0
        data += stream.read(max(behind - len(data), 0))
        header.extensions = _extensions(data[layout.itemsize : behind], header.order)
        return header

    @property
    def order(self) -> Order:
        """Byte order of header and numbers."""
        return "<" if self._fields.dtype["sizeof_hdr"] == np.dtype("<i4") else ">"

    @property
    def is_single(self) -> bool:
        """Are the numbers in the same file?"""
        return not bytes(self["magic"]).startswith((b"ni1", b"ni2"))

    @property
    def kind(self) -> np.dtype[Any] | None:
        """Of the stored numbers; None for what no number of ours is. Raises ValueError for an unknown code."""
        code = int(self["datatype"])
        if code in _UNREAD:
            return None
        if code == _RGB24:
            return RGB
        if code == _FLOAT128:
            return np.dtype(np.longdouble) if np.dtype(np.longdouble).itemsize == 16 else None
        if code not in _KINDS:
            raise ValueError(f"datatype {code} is unknown")
        kind: np.dtype[Any] = np.dtype(_KINDS[code])
        return kind.newbyteorder(self.order)

    @property
    def sform(self) -> Array | None:
        """4 × 4, index (x, y, z) to RAS; None where its code is 0."""
        if int(self["sform_code"]) == 0:
            return None
        out = np.eye(4)
        out[:3] = self._numbers("srow").reshape(3, 4)
        return out

    @property
    def qform(self) -> Array | None:
        """4 × 4, index (x, y, z) to RAS; None where its code is 0. Raises ValueError where it is no rotation."""
        if int(self["qform_code"]) == 0:
            return None
        pixdim = self._numbers("pixdim")
        if pixdim[0] not in (-1, 1) or np.any(pixdim[1:4] < 0):
            raise ValueError(f"pixdim is {pixdim[:4].tolist()}; its first is 1 or -1, no other is below 0")
        out = np.eye(4)
        rounding = _ROUNDING[self._fields.dtype["quatern"].base.str[1:]]
        out[:3, :3] = _rotation(self._numbers("quatern"), rounding) * (pixdim[1:4] * [1, 1, pixdim[0]])
        out[:3, 3] = self._numbers("qoffset")
        return out

    def _numbers(self, name: str) -> Array:
        with np.errstate(invalid="ignore"):  # broken bytes may be a NaN that signals
            return np.asarray(self[name], dtype=np.float64)

    @property
    def length_unit(self) -> str:
        return _LENGTHS.get(int(self["xyzt_units"]) & _LENGTH_BITS, "unknown")

    @property
    def time_unit(self) -> str:
        return _TIMES.get(int(self["xyzt_units"]) & _TIME_BITS, "unknown")

    # ---- out ----------------------------------------------------------------------------------------

    @classmethod
    def of(cls, array: NDArray[Any]) -> NiftiHeader:
        """For an array in the file's order (x, y[, z[, t[, c]]]): NIfTI-1, or 2 where an axis is too long for it."""
        wide = max(array.shape) > np.iinfo(np.int16).max
        layout = _layout(_FIELDS_2 if wide else _FIELDS_1, "<")
        header = cls(np.zeros((), layout))
        header["sizeof_hdr"] = layout.itemsize
        header["magic"] = b"n+2\0" + _END_OF_LINES if wide else b"n+1\0"
        header["dim"] = [array.ndim, *array.shape, *[1] * (7 - array.ndim)]
        header["pixdim"] = 1.0
        header["datatype"] = _code_of(array.dtype)
        header["bitpix"] = array.dtype.itemsize * 8
        header["scl_slope"] = 1.0
        if array.ndim == 5:
            header["intent_code"] = VECTOR
        return header

    def place(self, ras: Array, *, as_qform: bool = True) -> None:
        """Write a form, 4 × 4 in RAS mm, as sform and, where no axis is sheared, as qform; both of code 1 (scanner)."""
        self["sform_code"] = 1
        self["srow"] = ras[:3].ravel()
        steps = np.linalg.norm(ras[:3, :3], axis=0)
        self["pixdim"][1:4] = steps
        if not as_qform:
            return
        turn = ras[:3, :3] / steps
        hand = 1.0 if np.linalg.det(turn) > 0 else -1.0
        self["qform_code"] = 1
        self["pixdim"][0] = hand
        self["quatern"] = _quaternion(turn * [1.0, 1.0, hand])
        self["qoffset"] = ras[:3, 3]

    def set_units(self, length: str, time: str = "unknown") -> None:
        """``mm`` or ``unknown``; ``sec`` or ``unknown``."""
        codes = {name: code for table in (_LENGTHS, _TIMES) for code, name in table.items()}
        self["xyzt_units"] = codes.get(length, 0) | codes.get(time, 0)

    def as_bytes(self) -> bytes:
        """The header with its extensions; the numbers follow at once."""
        behind = b""
        for code, content in self.extensions:
            size = -(-(len(content) + 8) // 16) * 16
            behind += np.array([size, code], "<i4").tobytes() + content.ljust(size - 8, b"\0")
        self["vox_offset"] = self._fields.dtype.itemsize + 4 + len(behind)
        return self._fields.tobytes() + bytes([bool(behind), 0, 0, 0]) + behind


def _layout_of(data: bytes) -> np.dtype[Any]:
    """Kind and byte order: by the size that stands first, else by whether the number of axes makes sense."""
    fields = _FIELDS_2 if data[4:8] in _MAGIC_2 else _FIELDS_1
    little, big = _layout(fields, "<"), _layout(fields, ">")
    size = little.itemsize
    if int.from_bytes(data[:4], "little") == size or int.from_bytes(data[:4], "big") == size:
        return little if int.from_bytes(data[:4], "little") == size else big
    assert little.fields is not None
    at, width = little.fields["dim"][1], little["dim"].base.itemsize
    return little if 1 <= int.from_bytes(data[at : at + width], "little") <= 7 else big


def _extensions(data: bytes, order: Order) -> list[Extension]:
    """(code, content without filling) of each; ``data`` begins behind the header."""
    out: list[Extension] = []
    if len(data) < 4 or data[0] == 0:
        return out
    at = 4
    while at + 16 <= len(data):
        size, code = (int(n) for n in np.frombuffer(data, f"{order}i4", 2, at))
        if size == 0:
            break  # filling up to the pixels
        if size < 8 or at + size > len(data):
            raise ValueError(f"an extension of {size} bytes does not fit before the pixels")
        out.append((code, data[at + 8 : at + size].rstrip(b"\0")))
        at += size
    return out


def _code_of(kind: np.dtype[Any]) -> int:
    if kind == RGB:
        return _RGB24
    code = next((code for code, name in _KINDS.items() if np.dtype(name) == kind.newbyteorder("=")), None)
    if code is None:
        raise UsageError(f"NIfTI has no word for numbers of kind {kind}")
    return code


def _rotation(vector: Array, rounding: float) -> Array:
    """3 × 3 of the unit quaternion whose last three parts are given, the first not below 0."""
    rest = 1.0 - float(vector @ vector)
    if rest < -rounding or not np.isfinite(rest):
        raise ValueError(f"its quaternion {vector.tolist()} is longer than 1")
    a = np.sqrt(rest) if rest > rounding else 0.0
    b, c, d = vector / np.sqrt(a * a + vector @ vector)
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def _quaternion(turn: Array) -> Array:
    """b, c, d of the rotation nearest to ``turn``: the eigenvector of greatest value (Bar-Itzhack 2000,
    doi:10.2514/2.4654), which is sound for half turns too."""
    r = turn
    k = np.array(
        [
            [r[0, 0] + r[1, 1] + r[2, 2], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 0] - r[1, 1] - r[2, 2], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0]],
            [r[0, 2] - r[2, 0], r[0, 1] + r[1, 0], r[1, 1] - r[0, 0] - r[2, 2], r[1, 2] + r[2, 1]],
            [r[1, 0] - r[0, 1], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], r[2, 2] - r[0, 0] - r[1, 1]],
        ]
    )
    found = np.linalg.eigh(k)[1][:, -1]
    return np.asarray(found[1:] * (1.0 if found[0] >= 0 else -1.0))
