"""One seed, one patient, all six scanners: everything that is rendered, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hexscope.phantom.anatomy import Affine, Patient, make_patient
from hexscope.phantom.ct import render_ct
from hexscope.phantom.mr import T1, T2, render_mr
from hexscope.phantom.pet import render_pet
from hexscope.phantom.scan import Plane, Volume
from hexscope.phantom.shape import along
from hexscope.phantom.slide import Slide, render_slide
from hexscope.phantom.us import render_us
from hexscope.phantom.xray import render_xray

_PIVOT = np.array([5.0, 8.0, -30.0])
"""LPS mm about which the patient turns on the way to the MR scanner: the middle of the torso."""


@dataclass(frozen=True, eq=False)
class Scene:
    """The digital patient as all scanners see it.

    Attributes:
        seed: the number from which all of it follows.
        patient: the truth: what is where, in the frame of the CT.
        mr_to_ct: 4x4, LPS mm in the frame of the MR to LPS mm in the frame of the CT.
        ct, t1, t2, pet: volumes; T1 and T2 share one frame, CT and PET the other.
        xray, us: pictures. slide: the H&E slide.
    """

    seed: int
    patient: Patient
    mr_to_ct: Affine
    ct: Volume
    t1: Volume
    t2: Volume
    pet: Volume
    xray: Plane
    us: Plane
    slide: Slide


def make_scene(seed: int) -> Scene:
    """Render the patient of this seed with all scanners, each with a random stream of its own."""
    anatomy, motion, ct, t1, t2, pet, xray, us, slide = np.random.default_rng(seed).spawn(9)
    patient = make_patient(anatomy)
    pose = draw_motion(motion)
    return Scene(
        seed=seed,
        patient=patient,
        mr_to_ct=pose,
        ct=render_ct(patient, ct),
        t1=render_mr(patient, t1, T1, pose),
        t2=render_mr(patient, t2, T2, pose),
        pet=render_pet(patient, pet),
        xray=render_xray(patient, xray),
        us=render_us(patient, us),
        slide=render_slide(slide),
    )


def draw_motion(rng: np.random.Generator) -> Affine:
    """5 to 8 degrees about a random axis through the torso and a shift of 8 to 15 mm; 4x4, LPS mm."""
    axis, shift = rng.normal(size=(2, 3))
    angle = np.radians(rng.uniform(5.0, 8.0))
    shift *= rng.uniform(8.0, 15.0) / np.linalg.norm(shift)
    frame = along((float(axis[0]), float(axis[1]), float(axis[2])))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = frame @ np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]]) @ frame.T
    motion = np.eye(4)
    motion[:3, :3] = turn
    motion[:3, 3] = _PIVOT + shift - turn @ _PIVOT
    return motion
