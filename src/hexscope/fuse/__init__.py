"""Fuse: two images in one frame and one picture, the numbers of both kept beside it."""

from hexscope.fuse.blend import Look, fuse
from hexscope.fuse.fused import HOWS, Fused
from hexscope.fuse.kept import KEPT, LESION, body, kept, lesion_contrast
from hexscope.fuse.palettes import PALETTES, palette
from hexscope.fuse.planes import MIP, View, mip, named_window, plane, seen, seen_labels, slab, usual_window, window
from hexscope.fuse.score import FIELD, field_scores
from hexscope.fuse.turning import turn

__all__ = ["FIELD", "HOWS", "KEPT", "LESION", "MIP", "PALETTES", "Fused", "Look", "View", "body", "field_scores"]
__all__ += ["fuse", "kept", "lesion_contrast", "mip", "named_window", "palette", "plane", "seen", "seen_labels"]
__all__ += ["slab", "turn", "usual_window", "window"]
