"""Fuse: two images in one frame and one picture, the numbers of both kept beside it."""

from hexscope.fuse.blend import HOWS, Fused, Look, fuse
from hexscope.fuse.palettes import PALETTES, palette
from hexscope.fuse.planes import cut, hung, mip, plane, usual_window, window

__all__ = ["HOWS", "PALETTES", "Fused", "Look", "cut", "fuse", "hung", "mip", "palette", "plane"]
__all__ += ["usual_window", "window"]
