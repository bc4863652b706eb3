"""Whether a registration deserves trust. Judges numbers; it never looks at an image.

No single number tells: mutual information has a peak for any two images. What sets a right answer apart is that
opinions on it agree: edges, which had no part in finding it, put it in the same place; halves of the field taken alone
do; the search run backwards does; and small patches stay where they are put. From how far these lie apart, in mm and
as a share of the field (by which two persons differ), follows the probability that the pose is less than 3 mm off: a
logistic function of three arguments, each of which can only speak one way. The score is that probability, less for what
makes it worthless: a mirrored image or wrong poses that fit as well, little overlap, an unusual turn, a fold.

How it was fitted, on what, and how well it does on patients that it never met stands in ``docs/registration.md``;
``benchmarks/certificate.py`` prints it anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from hexscope.core.transform import Certificate, Verdict

#: From this score on a registration is accepted; below the other it is rejected.
ACCEPT, REJECT = 0.8, 0.04

#: From this score on a best fit elsewhere shows that images are not in place.
_SURE = 0.5

#: What each argument weighs (`benchmarks/certificate.py --fit` finds them), and the sum that stands against all.
WEIGHTS = {"spread": 1.11, "share": 1.90, "home": 1.09}
BIAS = -6.62


@dataclass(frozen=True)
class Evidence:
    """What was found out about a registration. Distances are means over the corners or points of the smaller field.

    score          NMI − 1 at the answer
    elsewhere      the best score of poses put wrong on purpose, as a share of ``score``
    mirrored       the score reached with the image mirrored left to right, as a share of that without
    rival_mm       how far the farthest start ended that scores nearly as well
    halves_mm      how far the answer moves where only one half of the field may speak, median of six halves
    inverse_mm     how far the search runs off when started backwards from the answer
    edge_mm        how far the answer moves where edges alone decide
    edge_halves_mm the same with the edges of one half of the field, median of six halves
    home           share of small patches that fit nowhere nearby better than where they are put
    overlap        share of the smaller field that lies inside the other
    rotation_deg, shift_mm  the motion itself, the shift at the centre of the smaller field
    voxel_mm       voxel size of the coarser image
    size_mm        of the smaller field, mean along its axes
    body_mm        the same, where a volume is claimed to show one body twice (rigid, similarity); else None
    moved_mm       for images said to be in place: how far the best fit lies from there; else None
    folded, swelling  for deformations: share of voxels turned over, and the standard deviation of log volume; else None
    start          for deformations: the score of the linear map nearest to it; else None. What is left to find after a
                   deformation says little of how it began, so ``mirrored`` and ``elsewhere`` are of that map too
    """

    score: float
    elsewhere: float
    mirrored: float
    rival_mm: float
    halves_mm: float
    inverse_mm: float
    edge_mm: float
    edge_halves_mm: float
    home: float
    overlap: float
    rotation_deg: float
    shift_mm: float
    voxel_mm: float
    size_mm: float
    body_mm: float | None = None
    moved_mm: float | None = None
    folded: float | None = None
    swelling: float | None = None
    start: float | None = None

    def as_pairs(self) -> tuple[tuple[str, float], ...]:
        """Names and numbers, without those that are None."""
        named = ((f.name, getattr(self, f.name)) for f in fields(self))
        return tuple((name, float(value)) for name, value in named if value is not None)

    @property
    def spread_mm(self) -> float:
        """How far opinions on the answer lie apart: root mean square of four distances, none counted above 30 mm."""
        opinions = (self.halves_mm, self.inverse_mm, self.edge_mm, self.edge_halves_mm)
        return math.sqrt(sum(min(mm, 30.0) ** 2 for mm in opinions) / len(opinions))


def arguments(evidence: Evidence) -> dict[str, float]:
    """What the probability weighs; more is better, each about 0 for a wrong answer and 3 for a right one."""
    return {
        "spread": math.log(10.0 / (evidence.spread_mm + 0.3)),
        "share": math.log(0.1 / (evidence.spread_mm / max(evidence.size_mm, 1.0) + 0.002)),
        "home": 4 * math.sqrt(min(max(evidence.home, 0.0), 1.0)),
    }


def probability(evidence: Evidence) -> float:
    """Probability that the pose is less than 3 mm off, as far as opinions on it lie apart; doubts not counted."""
    total = BIAS + sum(WEIGHTS[name] * value for name, value in arguments(evidence).items())
    return 1 / (1 + math.exp(-total))


@dataclass(frozen=True)
class Limit:
    """What to say of one piece of evidence where it is past ``good``, and by how much to believe the answer less.

    Belief falls from 1 at ``good`` to ``floor`` at ``bad``. A floor of 1: the probability has weighed it already.
    """

    name: str
    good: float
    bad: float
    floor: float
    says: str
    says_zh: str

    def belief(self, evidence: Evidence) -> float:
        value = getattr(evidence, self.name)
        if value is None:
            return 1.0
        left = (self.bad - value) / (self.bad - self.good)
        return float(min(1.0, max(self.floor, self.floor + (1.0 - self.floor) * left)))

    def is_told(self, evidence: Evidence) -> bool:
        value = getattr(evidence, self.name)
        return value is not None and (value - self.good) * (self.bad - self.good) > 0

    def reason(self, evidence: Evidence) -> tuple[str, str]:
        """What the evidence says, in English and Chinese."""
        value = float(getattr(evidence, self.name))
        return self.says.format(value), self.says_zh.format(value)


_MIRRORED = Limit(
    "mirrored",
    0.95,
    1.0,
    0.0,
    "the image mirrored left to right reaches {:.1%} of the score",
    "左右镜像后的图像达到得分的 {:.1%}",
)
LIMITS = (
    Limit(
        "score",
        0.012,
        0.003,
        0.0,
        "the two images tell next to nothing about each other (NMI − 1 = {:.3f})",
        "两幅图像之间几乎没有共同信息（NMI − 1 = {:.3f}）",
    ),
    Limit(
        "elsewhere",
        0.9,
        1.0,
        0.0,
        "poses put wrong on purpose reach {:.0%} of the score",
        "故意放错的位置也达到得分的 {:.0%}",
    ),
    _MIRRORED,
    Limit(
        "rival_mm",
        5.0,
        15.0,
        0.5,
        "another pose {:.1f} mm away scores nearly as well",
        "另一个相距 {:.1f} mm 的位置得分几乎一样高",
    ),
    Limit("spread_mm", 2.5, 5.0, 0.2, "opinions on it lie {:.1f} mm apart", "各种判断之间相差 {:.1f} mm"),
    Limit(
        "halves_mm",
        2.0,
        8.0,
        1.0,
        "halves of the field taken alone disagree by {:.1f} mm",
        "只用一半视野时结果相差 {:.1f} mm",
    ),
    Limit("inverse_mm", 2.0, 8.0, 1.0, "the search run backwards ends {:.1f} mm away", "反向搜索的终点偏离 {:.1f} mm"),
    Limit("edge_mm", 2.0, 8.0, 1.0, "edges alone would put it {:.1f} mm away", "若只看边缘，结果会偏移 {:.1f} mm"),
    Limit(
        "edge_halves_mm",
        2.0,
        8.0,
        1.0,
        "the edges of halves of the field disagree by {:.1f} mm",
        "半个视野的边缘给出的结果相差 {:.1f} mm",
    ),
    Limit(
        "home",
        0.25,
        0.0,
        1.0,
        "only {:.0%} of small patches fit best where they are put",
        "只有 {:.0%} 的小块在原处吻合最好",
    ),
    Limit(
        "overlap",
        0.55,
        0.35,
        0.3,
        "only {:.0%} of the smaller field lies inside the other",
        "较小视野只有 {:.0%} 落在另一视野之内",
    ),
    Limit(
        "rotation_deg",
        60.0,
        90.0,
        0.6,
        "a turn of {:.0f} degrees is unusual between two scans",
        "两次扫描之间旋转 {:.0f} 度并不常见",
    ),
    Limit(
        "body_mm",
        60.0,
        45.0,
        0.6,
        "a field of {:.0f} mm is too small to tell one person from another",
        "视野仅 {:.0f} mm，不足以区分不同的人",
    ),
    Limit("folded", 0.0, 1e-3, 0.3, "the deformation folds in {:.2%} of the field", "形变在 {:.2%} 的视野中发生折叠"),
    Limit(
        "start",
        0.04,
        0.0,
        0.5,
        "the linear map under the deformation deserves no trust of its own (score {:.2f})",
        "形变所依据的线性变换本身不可信（得分 {:.2f}）",
    ),
    Limit(
        "swelling",
        0.6,
        1.2,
        0.5,
        "the deformation is rough: log volumes vary by {:.2f}",
        "形变粗糙：体积对数的标准差为 {:.2f}",
    ),
)
#: Two persons' brains fit each other mirrored nearly as well: where a transform may join two persons, that is no proof.
_MIRRORED_OTHERS = replace(_MIRRORED, floor=0.5)
_MOVED = Limit(
    "moved_mm",
    2.0,
    8.0,
    0.0,
    "the best fit lies {:.1f} mm from where the headers put the images",
    "最佳拟合与头文件所给位置相差 {:.1f} mm",
)
_FINE = (
    "edges, halves of the field and the search backwards agree; wrong poses score clearly less",
    "边缘、半个视野与反向搜索的结果一致；放错的位置得分明显更低",
)


def belief(evidence: Evidence) -> float:
    """By how much to believe the answer less for reasons that the probability does not weigh, 0..1."""
    limits = (_MIRRORED_OTHERS if limit is _MIRRORED and evidence.body_mm is None else limit for limit in LIMITS)
    return math.prod(limit.belief(evidence) for limit in limits)


def certify(evidence: Evidence) -> Certificate:
    """The verdict on a registration, or (where ``moved_mm`` is given) on images said to be in place already.

    That the headers and the best fit agree speaks for both. Images in place are therefore accepted on weaker evidence,
    and rejected only where a trustworthy fit lies elsewhere: weak evidence is no proof of a fault.
    """
    score = probability(evidence) * belief(evidence)
    verdict = _verdict(score)
    reasons = [limit.reason(evidence) for limit in LIMITS if limit.is_told(evidence)]
    if evidence.moved_mm is not None:
        verdict, score = _in_place(score, _MOVED.belief(evidence))
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
    if found >= _SURE and still < REJECT:
        return "reject", still
    return "review", min(max(score, REJECT), ACCEPT)
