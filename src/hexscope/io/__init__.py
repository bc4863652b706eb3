"""Reading and writing: the only room that touches files of images, and the only one that knows their formats."""

from __future__ import annotations

from hexscope.io.reading import inventory, open_series, pick, read
from hexscope.io.series import Inventory, Series
from hexscope.io.writing import save

__all__ = ["Inventory", "Series", "inventory", "open_series", "pick", "read", "save"]
