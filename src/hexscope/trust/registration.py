"""Whether a registration deserves trust. Judges numbers; it never looks at an image.

No single number tells: mutual information has a peak for any two images. What sets a right answer apart is that edges,
which had no part in finding it, put it in the same place; that halves of the field taken alone do, and the search run
backwards; that edges agree more there than a few millimetres away and far more than elsewhere; that small patches stay
where they are put; and that the mirrored image fits worse.

The score is the probability that the pose is less than 3 mm off: a logistic function of a few such arguments, each of
which can only speak one way. How it was fitted, on what, and how well it does on patients that it never met stands in
``docs/registration.md``; ``benchmarks/certificate.py`` prints it anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from hexscope.core.transform import Certificate, Verdict

#: From this score on a registration is accepted; below the other it is rejected.
ACCEPT, REJECT = 0.85, 0.15

#: What each argument weighs (`benchmarks/certificate.py --fit` finds them), and the sum that stands against all.
WEIGHTS = {"spread": 1.0, "share": 0.5, "contrast": 1.0, "near": 1.0, "mirrored": 0.3, "home": 1.0, "overlap": 0.5}
BIAS = -5.0


@dataclass(frozen=True)
class Evidence:
    """What was found out about a registration. Distances are means over the corners or points of the smaller field.

    score          NMI − 1 at the answer
    elsewhere      the best score of poses put wrong on purpose, as a share of ``score``
    mirrored       the score reached with the image mirrored left to right, as a share of that without
    rival_mm       how far the farthest start ended that scores nearly as well
    halves_mm      how far the answer moves where only one half of the field may speak, median of six halves
    inverse_mm     how far the search runs off when started backwards from the answer
    edges          mean squared product of the normals of edges in both, 0..1
    edge_contrast  how far above those of stray poses that is, in their standard deviations
    edge_near      the best of it a few voxels away along an axis, as a share of ``edges``
    edge_mm        how far the answer moves where edges alone decide
    edge_halves_mm the same with the edges of one half of the field, median of six halves
    home           share of small patches that fit nowhere nearby better than where they are put
    overlap        share of the smaller field that lies inside the other
    rotation_deg, shift_mm  the motion itself, the shift at the centre of the smaller field
    voxel_mm       voxel size of the coarser image
    size_mm        of the smaller field, mean along its axes
    moved_mm       for images said to be in place: how far the best fit lies from there; else None
    folded, swelling  for deformations: share of voxels turned over, and the standard deviation of log volume; else None
    """

    score: float
    elsewhere: float
    mirrored: float
    rival_mm: float
    halves_mm: float
    inverse_mm: float
    edges: float
    edge_contrast: float
    edge_near: float
    edge_mm: float
    edge_halves_mm: float
    home: float
    overlap: float
    rotation_deg: float
    shift_mm: float
    voxel_mm: float
    size_mm: float
    moved_mm: float | None = None
    folded: float | None = None
    swelling: float | None = None

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
    """What the score weighs; more is better, each about 0 for a wrong answer and 1 to 4 for a right one."""
    e = evidence
    return {
        "spread": math.log(10.0 / (e.spread_mm + 0.3)),
        "share": math.log(0.1 / (e.spread_mm / max(e.size_mm, 1.0) + 0.002)),
        "contrast": min(max(e.edge_contrast, 0.0), 8.0) / 2,
        "near": 10 * (1.0 - min(max(e.edge_near, 0.6), 1.2)),
        "mirrored": 3 * (1.0 - min(max(e.mirrored, 0.3), 1.1)),
        "home": 4 * math.sqrt(min(max(e.home, 0.0), 1.0)),
        "overlap": 4 * min(e.overlap, 1.0),
    }


def probability(evidence: Evidence) -> float:
    """Probability that the pose is less than 3 mm off."""
    total = BIAS + sum(WEIGHTS[name] * value for name, value in arguments(evidence).items())
    return 1 / (1 + math.exp(-total))


@dataclass(frozen=True)
class Limit:
    """What to say of one piece of evidence where it is worse than ``good``; beyond ``bad`` nothing is accepted.

    Worse is more where ``good`` < ``bad``, and less where it is greater.
    """

    name: str
    good: float
    bad: float
    says: str
    says_zh: str

    def is_past(self, bound: float, evidence: Evidence) -> bool:
        value = getattr(evidence, self.name)
        return value is not None and (value > bound if self.good < self.bad else value < bound)

    def reason(self, evidence: Evidence) -> tuple[str, str]:
        """What the evidence says, in English and Chinese."""
        value = float(getattr(evidence, self.name))
        return self.says.format(value), self.says_zh.format(value)


_NEVER = math.inf
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
        0.85,
        1.0,
        "poses put wrong on purpose reach {:.0%} of the score",
        "故意放错的位置也达到得分的 {:.0%}",
    ),
    Limit(
        "mirrored",
        0.95,
        1.0,
        "the image mirrored left to right reaches {:.1%} of the score",
        "左右镜像后的图像达到得分的 {:.1%}",
    ),
    Limit(
        "rival_mm",
        5.0,
        15.0,
        "another pose {:.1f} mm away scores nearly as well",
        "另一个相距 {:.1f} mm 的位置得分几乎一样高",
    ),
    Limit(
        "halves_mm",
        2.0,
        8.0,
        "halves of the field taken alone disagree by {:.1f} mm",
        "只用一半视野时结果相差 {:.1f} mm",
    ),
    Limit("inverse_mm", 2.0, 8.0, "the search run backwards ends {:.1f} mm away", "反向搜索的终点偏离 {:.1f} mm"),
    Limit(
        "edge_contrast",
        4.0,
        1.0,
        "edges agree only {:.1f} standard deviations better than at stray poses",
        "边缘吻合程度仅比随机错位高 {:.1f} 个标准差",
    ),
    Limit(
        "edge_near",
        0.97,
        1.05,
        "a few voxels away edges agree {:.0%} as well",
        "偏离几个体素时边缘吻合程度仍有 {:.0%}",
    ),
    Limit("edge_mm", 2.0, 8.0, "edges alone would put it {:.1f} mm away", "若只看边缘，结果会偏移 {:.1f} mm"),
    Limit(
        "edge_halves_mm",
        2.0,
        8.0,
        "the edges of halves of the field disagree by {:.1f} mm",
        "半个视野的边缘给出的结果相差 {:.1f} mm",
    ),
    Limit(
        "home",
        0.3,
        -_NEVER,
        "only {:.0%} of small patches fit best where they are put",
        "只有 {:.0%} 的小块在原处吻合最好",
    ),
    Limit(
        "overlap",
        0.85,
        0.35,
        "only {:.0%} of the smaller field lies inside the other",
        "较小视野只有 {:.0%} 落在另一视野之内",
    ),
    Limit(
        "rotation_deg",
        45.0,
        75.0,
        "a turn of {:.0f} degrees is unusual between two scans",
        "两次扫描之间旋转 {:.0f} 度并不常见",
    ),
    Limit("folded", 0.0, 1e-3, "the deformation folds in {:.2%} of the field", "形变在 {:.2%} 的视野中发生折叠"),
    Limit(
        "swelling",
        0.6,
        1.2,
        "the deformation is rough: log volumes vary by {:.2f}",
        "形变粗糙：体积对数的标准差为 {:.2f}",
    ),
)
_MOVED = Limit(
    "moved_mm",
    2.0,
    8.0,
    "the best fit lies {:.1f} mm from where the headers put the images",
    "最佳拟合与头文件所给位置相差 {:.1f} mm",
)
_FINE = (
    "edges, halves of the field and the search backwards agree; wrong poses score clearly less",
    "边缘、半个视野与反向搜索的结果一致；放错的位置得分明显更低",
)


def certify(evidence: Evidence) -> Certificate:
    """The verdict on a registration, or (where ``moved_mm`` is given) on images said to be in place already.

    That the headers and the best fit agree speaks for both. Images in place are therefore accepted on weaker evidence,
    and rejected only where a trustworthy fit lies elsewhere: weak evidence is no proof of a fault.
    """
    found = probability(evidence)
    verdict = _verdict(found)
    if verdict == "accept" and any(limit.is_past(limit.bad, evidence) for limit in LIMITS):
        verdict = "review"
    score = found
    reasons = [limit.reason(evidence) for limit in LIMITS if limit.is_past(limit.good, evidence)]
    if evidence.moved_mm is not None:
        verdict, score = _in_place(verdict, found, evidence)
        reasons.insert(0, _MOVED.reason(evidence))
    english, chinese = zip(*(reasons or [_FINE]), strict=True)
    return Certificate(verdict, score, english, evidence.as_pairs(), chinese)


def _verdict(score: float) -> Verdict:
    return "accept" if score >= ACCEPT else "reject" if score < REJECT else "review"


def _in_place(verdict: Verdict, found: float, evidence: Evidence) -> tuple[Verdict, float]:
    """From the verdict on the best fit and its score, with how far it lies from where the images are."""
    moved = float(evidence.moved_mm or 0.0)
    still = min(1.0, max(0.0, (_MOVED.bad - moved) / (_MOVED.bad - _MOVED.good)))
    score = still * (ACCEPT + (1 - ACCEPT) * found)
    if verdict != "reject" and score >= ACCEPT:
        return "accept", score
    if verdict == "accept" and still < REJECT:
        return "reject", still
    return "review", min(max(score, REJECT), ACCEPT)
