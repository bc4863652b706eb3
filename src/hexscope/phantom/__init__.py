"""One digital patient in six modalities with its truth, for the demo and the tests: all synthetic."""

from __future__ import annotations

from hexscope.phantom.anatomy import Patient, make_patient
from hexscope.phantom.scene import Scene, make_scene
from hexscope.phantom.writer import PhantomFiles, write_phantom

__all__ = ["Patient", "PhantomFiles", "Scene", "make_patient", "make_scene", "write_phantom"]
