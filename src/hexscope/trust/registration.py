"""Whether a registration deserves trust. Judges numbers; it never looks at an image.

No single number tells: mutual information has a peak for any two images. What sets a right answer apart is that
other starts, parts of the field taken alone, and the search run backwards all end in the same place, that poses put
wrong on purpose score clearly less, and that the mirrored image fits worse. Each of these gives a trust between 0
and 1; the score is their product.

The limits below were set by looking at eight thighs and arms (CT, MR, PET) and one brain (three MR contrasts). On
other motions and other wrong pairs of the same patients ``benchmarks/certificate.py`` found, of 25 right registrations,
20 accepted and 5 to review (one more patient, whose scans do not fit, rejected); of 19 wrong ones (other patients,
mirrored images) all 19 rejected; of 19 pairs shifted out of place by 6 mm (MR) or 15 mm (PET), one accepted. These are
few, and no strangers to the limits: a verdict is a warning light, not a measurement.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from hexscope.core.transform import Certificate, Verdict

#: From this score on a registration is accepted; below the other it is rejected.
ACCEPT, REJECT = 0.6, 0.2

#: Lengths below are meant for voxels up to this size; they grow in proportion for larger ones.
_USUAL_VOXEL_MM = 2.0


@dataclass(frozen=True)
class Evidence:
    """What was found out about a registration. Distances are means over the corners or points of the smaller field.

    score          NMI − 1 at the answer
    elsewhere      the best score of poses put wrong on purpose, as a share of ``score``
    mirrored       the score reached with the image mirrored left to right, as a share of that without
    rival_mm       how far the farthest start ended that scores nearly as well
    halves_mm      how far the answer moves where only one half of the field may speak, median of six halves
    inverse_mm     how far the search runs off when started backwards from the answer
    overlap        share of the smaller field that lies inside the other
    rotation_deg, shift_mm  the motion itself, the shift at the centre of the smaller field
    voxel_mm       voxel size of the coarser image
    moved_mm       for images said to be in place: how far the answer lies from there; else None
    """

    score: float
    elsewhere: float
    mirrored: float
    rival_mm: float
    halves_mm: float
    inverse_mm: float
    overlap: float
    rotation_deg: float
    shift_mm: float
    voxel_mm: float
    moved_mm: float | None = None

    def as_pairs(self) -> tuple[tuple[str, float], ...]:
        """Names and numbers, without those that are None."""
        named = ((f.name, getattr(self, f.name)) for f in fields(self))
        return tuple((name, float(value)) for name, value in named if value is not None)


@dataclass(frozen=True)
class Limit:
    """One piece of evidence: trusted fully up to ``good``, not at all from ``bad``; what to say in between."""

    name: str
    good: float
    bad: float
    says: str
    says_zh: str
    is_length: bool = False

    def trust(self, evidence: Evidence) -> float:
        scale = max(1.0, evidence.voxel_mm / _USUAL_VOXEL_MM) if self.is_length else 1.0
        value = float(getattr(evidence, self.name))
        return min(1.0, max(0.0, (self.bad * scale - value) / ((self.bad - self.good) * scale)))

    def reason(self, evidence: Evidence) -> tuple[str, str]:
        """What the evidence says, in English and Chinese."""
        value = float(getattr(evidence, self.name))
        return self.says.format(value), self.says_zh.format(value)


LIMITS = (
    Limit(
        "score",
        0.015,
        0.003,
        "the two images tell next to nothing about each other (NMI − 1 = {:.3f})",
        "两幅图像之间几乎没有共同信息（NMI − 1 = {:.3f}）",
    ),
    Limit(
        "elsewhere",
        0.80,
        1.0,
        "poses put wrong on purpose reach {:.0%} of the score",
        "故意放错的位置也达到得分的 {:.0%}",
    ),
    Limit(
        "mirrored",
        0.97,
        1.03,
        "the image mirrored left to right reaches {:.1%} of the score",
        "左右镜像后的图像达到得分的 {:.1%}",
    ),
    Limit(
        "rival_mm",
        5.0,
        15.0,
        "another pose {:.1f} mm away scores nearly as well",
        "另一个相距 {:.1f} mm 的位置得分几乎一样高",
        True,
    ),
    Limit(
        "halves_mm",
        3.0,
        8.0,
        "halves of the field taken alone disagree by {:.1f} mm",
        "只用一半视野时结果相差 {:.1f} mm",
        True,
    ),
    Limit("inverse_mm", 3.0, 8.0, "the search run backwards ends {:.1f} mm away", "反向搜索的终点偏离 {:.1f} mm", True),
    Limit(
        "overlap",
        0.85,
        0.45,
        "only {:.0%} of the smaller field lies inside the other",
        "较小视野只有 {:.0%} 落在另一视野之内",
    ),
    Limit(
        "rotation_deg",
        30.0,
        75.0,
        "a turn of {:.0f} degrees is unusual between two scans",
        "两次扫描之间旋转 {:.0f} 度并不常见",
    ),
)
_MOVED = Limit(
    "moved_mm",
    2.0,
    8.0,
    "the best fit lies {:.1f} mm from where the headers put the images",
    "最佳拟合与头文件所给位置相差 {:.1f} mm",
    True,
)
_FINE = (
    "starts, halves of the field and the search backwards agree; wrong poses score clearly less",
    "不同起点、半个视野与反向搜索的结果一致；放错的位置得分明显更低",
)


def certify(evidence: Evidence) -> Certificate:
    """The verdict on a registration, or (where ``moved_mm`` is given) on images said to be in place already.

    That the headers and the best fit agree speaks for both. Images in place are therefore accepted on weaker evidence,
    and rejected only where a trustworthy fit lies elsewhere: weak evidence is no proof of a fault.
    """
    trusts = [(limit, limit.trust(evidence)) for limit in LIMITS]
    found = math.prod(trust for _, trust in trusts)
    reasons = [limit.reason(evidence) for limit, trust in trusts if trust < 1.0]
    verdict, score = _verdict(found), found
    if evidence.moved_mm is not None:
        verdict, score = _in_place(found, _MOVED.trust(evidence))
        reasons.insert(0, _MOVED.reason(evidence))
    english, chinese = zip(*(reasons or [_FINE]), strict=True)
    return Certificate(verdict, score, english, evidence.as_pairs(), chinese)


def _verdict(score: float) -> Verdict:
    return "accept" if score >= ACCEPT else "reject" if score < REJECT else "review"


def _in_place(found: float, still: float) -> tuple[Verdict, float]:
    """From the trust in the best fit and the trust that it lies where the images are."""
    score = still * (ACCEPT + (1 - ACCEPT) * found)
    if found >= REJECT and score >= ACCEPT:
        return "accept", score
    if found >= ACCEPT and still < REJECT:
        return "reject", still
    return "review", min(max(score, REJECT), ACCEPT)
