"""Why readers differ: who is right on which files, and the reason. A difference that no row explains is shouted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True)
class Reason:
    """``cases`` are patterns of the case's name, or ``@trait``; ``kinds`` are the differences that it explains.

    right  "ours", "theirs", "both" (two true readings, or a refusal that says why), "neither"
    """

    cases: str
    readers: str
    kinds: str
    right: str
    text: str

    def fits(self, name: str, traits: Iterable[str], reader: str, kind: str) -> bool:
        """Does this row explain a difference of ``kind`` between ``reader`` and ours on this case?"""
        if kind not in self.kinds.split() or (self.readers != "*" and reader not in self.readers.split()):
            return False
        patterns = self.cases.split(" | ")
        return any(p[1:] in traits if p.startswith("@") else fnmatch(name, p) for p in patterns)


_FOREIGN = "*.mnc | *.mgz | *.HEAD | *.PAR"

REASONS: tuple[Reason, ...] = (
    # ---- places and lengths
    Reason("*", "SimpleITK dcm2niix nibabel", "invents", "ours",
           "The file gives no place in the patient (or no spacing at all). Ours says None; the other fills in an origin of 0, "
           "an upright orientation and, without a spacing, 1 mm, and does not tell."),
    Reason("@US", "SimpleITK dcm2niix", "spacing", "ours",
           "Ultrasound keeps its millimetres in SequenceOfUltrasoundRegions (PS3.3 C.8.5.5); the other leaves it unread and says 1 mm."),
    Reason("@CR | @DX | @MG", "dcm2niix", "spacing", "ours",
           "ImagerPixelSpacing (0018,1164) is unread and 1 mm is said."),
    Reason("*/J2K_pixelrep_mismatch.dcm", "nibabel highdicom", "grid", "both",
           "The cosines are rounded to four places; ours (and ITK) makes them unit vectors, the other multiplies them as "
           "they are: 0.003 mm at the far corner."),
    Reason("*/98892003/MR*and*", "SimpleITK", "grid", "ours",
           "Planes of several orientations under one series: stacked into one box with the first one's direction. Ours splits them."),
    Reason("@RTDOSE", "dcm2niix", "grid", "ours",
           "GridFrameOffsetVector (3004,000C) is unread: planes 5 mm apart are said to be 1 mm apart."),
    Reason("*77654033/CT2/17106 and 3 more", "SimpleITK dcm2niix pydicom", "reads", "ours",
           "Steps of 1.25 to 202.5 mm between four slices. Ours refuses unless asked to resample (--even); SimpleITK says one mean "
           "step for all, dcm2niix writes one volume, pydicom knows no grid."),
    Reason("*/RG1_*.dcm", "SimpleITK dcm2niix highdicom pydicom", "reads", "both",
           "PixelSpacing is 0\\0. Ours refuses and names the field (a spacing may be given by hand once it is mended); the "
           "others give pixels with an invented 1 mm or without a word."),
    # ---- values
    Reason("@MONOCHROME1", "SimpleITK highdicom", "values", "ours",
           "MONOCHROME1 says how to show the numbers, not what they are (PS3.3 C.7.6.3.1.2). The other inverts the stored values."),
    Reason("@modality LUT", "SimpleITK dcm2niix", "values", "ours",
           "Modality LUT Sequence (PS3.3 C.11.1) is ignored."),
    Reason("*/mlut_18.dcm", "highdicom", "values", "ours",
           "The stored value −2048 is the first that the LUT maps: ours and pydicom give its first entry, 0, highdicom its last, 65535."),
    Reason("@RTDOSE", "SimpleITK dcm2niix nibabel pydicom highdicom", "values", "ours",
           "Dose Grid Scaling (3004,000E) is not applied: the numbers are no Gy. (SimpleITK applies it to some of the files.)"),
    Reason("@RTDOSE", "nibabel", "count shape", "ours",
           "The frames of a multi-frame dose are taken for rows."),
    Reason("@Philips", "nibabel", "values", "both",
           "Philips MR: nibabel distrusts a RescaleSlope of type US or none and gives stored numbers; ours, SimpleITK, dcm2niix, "
           "highdicom and pydicom apply it."),
    Reason("*/eCT_Supplemental.dcm", "pydicom", "values", "both",
           "The rescale stands in the functional groups, where apply_modality_lut does not look; ours gives HU."),
    Reason("*/J2K_pixelrep_mismatch.dcm", "dcm2niix", "values", "ours",
           "The code stream is signed where the header says unsigned; ours, pydicom and GDCM agree."),
    Reason("@palette tables", "pydicom highdicom", "values", "both",
           "Palette entries of 16 bits: ours gives 8 bits a channel, the other all 16."),
    Reason("*/OBXXXX1A_expb*", "pydicom", "values", "ours",
           "Big-endian palette tables are not turned round: pydicom gives 255 where its own little-endian twin has 65280."),
    Reason("*/OBXXXX1A_expb* | */gdcm-US-ALOKA*", "SimpleITK", "values", "both",
           "Palette entries of 16 bits: ours gives 8 bits a channel, ITK all 16 (of the big-endian twin the low byte)."),
    Reason("@palette tables", "dcm2niix", "shape", "ours",
           "Palette indices are written as if they were grey values."),
    Reason("@32 bit", "dcm2niix", "shape", "ours", "Colours of 32 bits a channel are written as one grey channel."),
    Reason("*/SC_rgb_rle_16bit* | */SC_rgb_rle_32bit*", "SimpleITK", "values", "ours",
           "RLE of colours deeper than 8 bits is decoded wrong: 60 % of the values differ from the uncompressed twin, none of ours and pydicom's do."),
    Reason("*/SC_rgb_small_odd_big_endian.dcm", "SimpleITK dcm2niix", "values", "ours",
           "Bytes lie in turned pairs in big-endian OW (PS3.5 8.1.1) and are not turned back; the little-endian twin agrees with ours."),
    Reason("@one bit", "SimpleITK", "values", "ours", "Bits are given as 0 and 255 instead of 0 and 1."),
    Reason("wsidicom_data/*.jpg", "SimpleITK", "values", "both", "Two JPEG decoders, one grey level apart."),
    # ---- what is an image
    Reason("@overlay", "dcm2niix", "count", "both", "dcm2niix writes the overlay as a picture of its own; ours leaves it out."),
    Reason("nibabel/?.dcm", "*", "reads", "both",
           "A Siemens mosaic whose CSA header promises 48 tiles, which do not fit 256 x 256 pixels (a test file made small). Ours "
           "refuses and says so; the others give the plane as stored, which is no anatomical slice."),
    Reason("*/98892001/CT2N/*", "*", "reads", "both",
           "ImageType says LOCALIZER. Ours lists a scout and does not read it: it plans the scan and measures nothing."),
    Reason("*/badVR.dcm", "SimpleITK dcm2niix", "reads", "both",
           "NumberOfFrames is “1A”. Ours refuses and names the field; the other takes it for 1 without a word."),
    Reason(_FOREIGN, "SimpleITK nibabel", "reads", "theirs",
           "MINC, FreeSurfer, AFNI and Philips PAR/REC are not among our formats. Ours names them (file.foreign) and refuses: convert them first."),
)  # fmt: skip


def reason_for(name: str, traits: Iterable[str], reader: str, kind: str) -> Reason | None:
    """The first row that fits."""
    return next((r for r in REASONS if r.fits(name, traits, reader, kind)), None)
