"""Body sizes from weight, height and sex, each with its source."""

from __future__ import annotations

from hexscope.core.quantity import Quantity


def body_size(kind: Quantity, weight_kg: float, height_m: float, sex: str) -> tuple[float, str, str]:
    """The size that ``kind`` multiplies by: value, unit (g or cm²), source. ``sex`` is "M" or "F"."""
    if kind is Quantity.SUVLBM:
        return (
            lean_janmahasatian_kg(weight_kg, height_m, sex) * 1e3,
            "g",
            "doi:10.2165/00003088-200544100-00004",
        )
    if kind is Quantity.SUVLBM_JAMES:
        return lean_james_kg(weight_kg, height_m, sex) * 1e3, "g", "James 1976, DICOM CID 85 LBMJAMES128"
    if kind is Quantity.SUVIBW:
        return ideal_kg(height_m, sex) * 1e3, "g", "doi:10.1148/radiology.213.2.r99nv37521"
    return surface_m2(weight_kg, height_m) * 1e4, "cm2", "doi:10.1001/archinte.1916.00080130010002"


def lean_janmahasatian_kg(weight_kg: float, height_m: float, sex: str) -> float:
    """Fat-free mass, Janmahasatian et al. 2005, doi:10.2165/00003088-200544100-00004."""
    bmi = weight_kg / height_m**2
    base, slope = (6680.0, 216.0) if sex == "M" else (8780.0, 244.0)
    return 9270.0 * weight_kg / (base + slope * bmi)


def lean_james_kg(weight_kg: float, height_m: float, sex: str) -> float:
    """Lean body mass, James 1976, with the factor 128 for men that DICOM's LBMJAMES128 names."""
    ratio = weight_kg / (100.0 * height_m)
    a, b = (1.10, 128.0) if sex == "M" else (1.07, 148.0)
    return a * weight_kg - b * ratio**2


def ideal_kg(height_m: float, sex: str) -> float:
    """Ideal body weight as SUVibw uses it, Sugawara et al. 1999, doi:10.1148/radiology.213.2.r99nv37521."""
    base, slope = (48.0, 1.06) if sex == "M" else (45.5, 0.91)
    return base + slope * (100.0 * height_m - 152.0)


def surface_m2(weight_kg: float, height_m: float) -> float:
    """Body surface, Du Bois and Du Bois 1916, doi:10.1001/archinte.1916.00080130010002."""
    return float(0.007184 * weight_kg**0.425 * (100.0 * height_m) ** 0.725)
