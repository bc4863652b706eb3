"""Whether a registration deserves trust. Judges numbers; it never looks at an image.

No single number tells: mutual information has a peak for any two images. What sets a right answer apart is that
other starts, parts of the field taken alone, and the search run backwards all end in the same place, and that
poses put wrong on purpose score clearly less.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from hexscope.core.transform import Certificate, Verdict

#: Disagreement in mm up to which an answer is accepted, and from which it is rejected; each is at least this many
#: voxels of the coarser image.
ACCEPT_MM, REJECT_MM = 3.0, 10.0
ACCEPT_VOXELS, REJECT_VOXELS = 1.0, 3.0


@dataclass(frozen=True)
class Evidence:
    """What was found out about a registration. Distances are means over the corners or points of the smaller field.

    score          NMI − 1 at the answer
    elsewhere      the best score of poses put wrong on purpose, as a share of ``score``
    mirrored       the score reached with the moving image mirrored left to right, as a share of the unmirrored
    rival_mm       how far the farthest start lies that scores nearly as well
    halves_mm      how far the answer moves when only one half of the field may speak, median of six halves
    inverse_mm     how far the search runs off when started backwards from the answer
    overlap        share of the smaller field that lies inside the other
    rotation_deg, shift_mm  the motion itself, the shift at the centre of the field
    voxel_mm       voxel size of the coarser image
    moved_mm       how far the best pose lies from where the headers put the images; None where that is no matter
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
