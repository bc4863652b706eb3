"""What a number means. Two quantities never mix."""

from __future__ import annotations

from enum import StrEnum

from hexscope.errors import QuantityError, UsageError


class Quantity(StrEnum):
    """The kind of number a pixel holds. Compares equal to its name: ``image.quantity == "HU"``."""

    HU = "HU"
    SUVBW = "SUVbw"
    SUVLBM = "SUVlbm"
    SUVLBM_JAMES = "SUVlbm-james"
    SUVBSA = "SUVbsa"
    SUVIBW = "SUVibw"
    BQML = "Bq/ml"
    COUNTS = "counts"
    OPTICAL_DENSITY = "optical density"
    VELOCITY = "cm/s"
    DIFFUSION = "mm2/s"
    RGB = "RGB"
    ARBITRARY = "arbitrary"

    @property
    def unit(self) -> str:
        """The unit as printed behind a number; empty where there is none."""
        return _UNITS.get(self, "")

    @property
    def is_absolute(self) -> bool:
        """May a fixed threshold be laid on it? Not on arbitrary numbers, raw counts or colours."""
        return self not in (Quantity.ARBITRARY, Quantity.COUNTS, Quantity.RGB)

    @property
    def is_suv(self) -> bool:
        return self.value.startswith("SUV")

    @property
    def outside(self) -> float:
        """The value of nothing: what lies outside an image when it is resampled. Air for HU, else 0."""
        if self is Quantity.HU:
            return -1000.0
        return 255.0 if self is Quantity.RGB else 0.0

    @classmethod
    def named(cls, name: str) -> Quantity:
        """The quantity called ``name``, in any case; UsageError lists the known ones."""
        for quantity in cls:
            if quantity.value.lower() == name.strip().lower():
                return quantity
        raise UsageError(f"unknown quantity {name!r}; known are {', '.join(q.value for q in cls)}")


_UNITS = {
    Quantity.HU: "HU",
    Quantity.SUVBW: "g/ml",
    Quantity.SUVLBM: "g/ml",
    Quantity.SUVLBM_JAMES: "g/ml",
    Quantity.SUVBSA: "cm2/ml",
    Quantity.SUVIBW: "g/ml",
    Quantity.BQML: "Bq/ml",
    Quantity.VELOCITY: "cm/s",
    Quantity.DIFFUSION: "mm2/s",
}


def require_same(a: Quantity, b: Quantity, purpose: str) -> None:
    """Raise QuantityError unless both are the same quantity."""
    if a is not b:
        raise QuantityError(
            f"{purpose} needs two images of one quantity; got {a.value} and {b.value}. "
            "Convert one with quantify(), or look at both with fuse().",
            code="value.mixed_quantities",
        )


def require_quantity(got: Quantity, wanted: Quantity, purpose: str) -> None:
    """Raise QuantityError unless ``got`` is ``wanted``."""
    if got is not wanted:
        raise QuantityError(
            f"{purpose} expects {wanted.value}, this image is {got.value}. Convert it with "
            f'quantify(image, "{wanted.value}") if its header allows.',
            code="value.wrong_quantity",
        )
