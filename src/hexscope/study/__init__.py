"""A messy folder becomes a study: sorted, audited, in true units, registered, fused, measured, reported."""

from __future__ import annotations

from hexscope.study.result import StudyResult
from hexscope.study.run import study

__all__ = ["StudyResult", "study"]
