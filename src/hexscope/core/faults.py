"""The table of fault codes: what can be wrong with a file, and what to do about it.

``area.problem`` is the code; areas are file, series, geometry, value, registration. A new fault is one line here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "repaired", "refused", "ignored"]


@dataclass(frozen=True)
class FaultKind:
    """A row of the table: what the fault does to the item, and the remedy in both languages."""

    verdict: Verdict
    remedy: str
    remedy_zh: str


@dataclass(frozen=True)
class Fault:
    """One finding of the audit on one item. ``detail`` names the file, the field and what was got."""

    code: str
    detail: str

    def __post_init__(self) -> None:
        if self.code not in FAULTS:
            raise KeyError(f"{self.code} is not in the fault table")

    @property
    def kind(self) -> FaultKind:
        return FAULTS[self.code]

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "detail": self.detail, "remedy": self.kind.remedy}


_K = FaultKind
FAULTS: dict[str, FaultKind] = {
    # ---- files
    "file.unreadable": _K(
        "refused",
        "Export the file again; its bytes do not follow its format.",
        "请重新导出该文件；其字节不符合格式规定。",
    ),
    "file.truncated": _K(
        "refused",
        "Copy or export the file again; it ends before its pixels do.",
        "请重新拷贝或导出；文件在像素结束之前就中断了。",
    ),
    "file.empty": _K("ignored", "Nothing to do: the file holds no bytes.", "无需处理：文件为空。"),
    "file.junk": _K("ignored", "Nothing to do: the file is not an image.", "无需处理：该文件不是图像。"),
    "file.duplicate": _K("repaired", "The second copy was left out.", "已略去重复的副本。"),
    "file.too_large": _K(
        "refused", "Read a part with crop(), or a coarser level.", "请用 crop() 读取局部，或读取更粗的层级。"
    ),
    "file.wrong_syntax": _K(
        "repaired",
        "The pixels were read as they lie in the file: they are not compressed, though its header says so.",
        "文件头称像素已压缩，实际并未压缩；已按原样读取。",
    ),
    "file.no_codec": _K("refused", "Install the decoder that the message names.", "请安装消息中指明的解码器。"),
    "file.foreign": _K(
        "refused",
        "Convert it to NIfTI, NRRD or DICOM first; this format is not among ours.",
        "请先转换为 NIfTI、NRRD 或 DICOM；本软件不支持该格式。",
    ),
    "file.no_pixels": _K("ignored", "Nothing to do: the object carries no image.", "无需处理：该对象不含图像。"),
    # ---- series
    "series.scout": _K(
        "ignored",
        "Nothing to do: a scout plans the scan and measures nothing.",
        "无需处理：定位像只用于扫描规划。",
    ),
    "series.report": _K(
        "ignored",
        "Nothing to do: a report or document, not an image.",
        "无需处理：这是报告或文档，不是图像。",
    ),
    "series.split": _K(
        "repaired",
        "Each echo, phase or time was made a series of its own.",
        "每个回波、相位或时间点已拆成独立序列。",
    ),
    "series.mixed": _K(
        "repaired",
        "Each orientation, size or stack was made a series of its own.",
        "不同方位、尺寸或堆栈的切片已拆成独立序列。",
    ),
    "series.stacked": _K(
        "ok",
        "Nothing to do: volumes of one grid lie along the axis t; frame() takes one.",
        "无需处理：同一网格的各时间点沿 t 轴排列；frame() 取其一。",
    ),
    "series.focal_planes": _K(
        "repaired",
        "The middle one of several focal planes was taken; a slide is read as one plane.",
        "多个焦平面中取了中间一个；切片按单平面读取。",
    ),
    # ---- geometry
    "geometry.no_spacing": _K(
        "ok",
        "Pass --spacing-mm if you know it; without it sizes are given in pixels.",
        "若已知请用 --spacing-mm 指定；否则尺寸只以像素给出。",
    ),
    "geometry.no_position": _K(
        "ok",
        "Positions are given in pixels; no place in the patient is known.",
        "位置只以像素给出；不知其在患者体内的位置。",
    ),
    "geometry.detector_plane": _K(
        "ok",
        "Lengths are in the detector plane; the patient's are smaller by the magnification.",
        "长度是探测器平面上的；患者体内的长度应除以放大率。",
    ),
    "geometry.needs_grid": _K(
        "refused",
        "Pass the image it was drawn on (--like, or on= in Python).",
        "请提供勾画时所用的图像（--like，或 Python 中的 on=）。",
    ),
    "geometry.gantry_tilt": _K(
        "repaired",
        "The tilt was kept in the affine; nothing was resampled. Pass --even for a straight grid.",
        "倾斜已保留在仿射矩阵中，未做重采样；如需正交网格请用 --even。",
    ),
    "geometry.missing_slice": _K(
        "refused",
        "Find the missing file, or pass --even to have the gap filled by interpolation.",
        "请找回缺失的文件，或用 --even 以插值填补。",
    ),
    "geometry.uneven_spacing": _K(
        "refused", "Pass --even to resample the slices onto even steps.", "请用 --even 将切片重采样为等间距。"
    ),
    "geometry.duplicate_slice": _K(
        "repaired", "One of two equal slices at one place was left out.", "同一位置的两张相同切片已略去其一。"
    ),
    "geometry.conflicting_slice": _K(
        "refused",
        "Two different slices claim one place; remove the wrong one.",
        "两张不同的切片占据同一位置；请删除错误的一张。",
    ),
    "geometry.evened": _K(
        "repaired",
        "Slices were resampled onto even steps at right angles, as asked.",
        "已按要求重采样为等间距的正交网格。",
    ),
    "geometry.bad_affine": _K(
        "refused", "Mend the orientation or spacing in the header.", "请修正头文件中的方位或间距。"
    ),
    "geometry.zero_spacing": _K("refused", "Mend the spacing in the header.", "请修正头文件中的间距。"),
    "geometry.spacing_conflict": _K(
        "refused", "Leave the spacing out, or mend the file.", "请不要另行指定间距，或修正文件。"
    ),
    "geometry.rounded_cosines": _K(
        "repaired",
        "Direction cosines were made orthonormal again (rounded in the header).",
        "方向余弦已重新正交归一（头文件中被舍入）。",
    ),
    "geometry.rounded_positions": _K(
        "repaired",
        "Positions were rounded in the header; even steps between the first and the last were used.",
        "切片位置在头文件中被舍入；已按首末位置取等间距。",
    ),
    "geometry.mosaic": _K(
        "repaired",
        "The tiles of each mosaic were made slices, placed by the maker's private header.",
        "马赛克图中的各小图已拆成切片，并按厂商私有头信息定位。",
    ),
    "geometry.mosaic_unplaced": _K(
        "refused",
        "Export the series again with its private elements, or without mosaic (enhanced or one file a slice).",
        "请保留私有元素重新导出，或不用马赛克格式（增强型或逐层文件）导出。",
    ),
    "geometry.differing_forms": _K("repaired", "sform was used; qform says otherwise.", "采用 sform；qform 与之不同。"),
    "geometry.unknown_units": _K(
        "repaired",
        "The file names no unit of length; mm is NIfTI's custom and was assumed.",
        "文件未写长度单位；按 NIfTI 惯例取毫米。",
    ),
    # ---- values
    "value.not_finite": _K(
        "repaired",
        "NaN and infinite voxels were set to the value of nothing.",
        "NaN 与无穷大的体素已置为空值。",
    ),
    "value.implausible": _K(
        "ok",
        "Check the rescale in the header: values lie outside what this quantity can be.",
        "请检查头文件中的换算参数：数值超出该物理量的合理范围。",
    ),
    "value.missing_weight": _K(
        "refused",
        "SUVbw needs PatientWeight (0010,1030). No default is assumed.",
        "SUVbw 需要 PatientWeight (0010,1030)，不使用任何默认值。",
    ),
    "value.missing_dose": _K(
        "refused",
        "SUV needs RadionuclideTotalDose (0018,1074). No default is assumed.",
        "SUV 需要 RadionuclideTotalDose (0018,1074)，不使用任何默认值。",
    ),
    "value.missing_time": _K(
        "refused",
        "Decay cannot be corrected without the times that the message names.",
        "缺少消息中指明的时间，无法做衰变校正。",
    ),
    "value.missing_fact": _K(
        "refused", "Supply the header field that the message names.", "请补全消息中指明的头文件字段。"
    ),
    "value.no_correction": _K(
        "refused",
        "SUV needs attenuation and decay corrected data (0028,0051).",
        "SUV 需要经衰减与衰变校正的数据 (0028,0051)。",
    ),
    "value.mixed_quantities": _K(
        "refused", "Convert one of the two with quantify().", "请用 quantify() 转换其中之一。"
    ),
    "value.wrong_quantity": _K(
        "refused", "Convert it with quantify(), if its header allows.", "若头文件允许，请用 quantify() 转换。"
    ),
    "value.inverted_polarity": _K(
        "ok",
        "MONOCHROME1: values are kept as stored, pictures are shown inverted.",
        "MONOCHROME1：数值按原样保留，显示时反相。",
    ),
    "value.unknown_rescale": _K(
        "ok",
        "The header gives no rescale to HU; values are kept as arbitrary.",
        "头文件没有到 HU 的换算；数值按任意单位保留。",
    ),
    "value.assumed_hu": _K(
        "repaired",
        "Rescale Type says US (unspecified); an original CT slice is taken as HU. Check one known tissue.",
        "换算类型为 US（未指定）；原始 CT 切片按 HU 处理，请以已知组织核对。",
    ),
    "value.real_world_map": _K(
        "ok",
        "Numbers are those of the header's real-world value map, in place of its rescale.",
        "数值取自头文件的真实世界值映射，而非其换算参数。",
    ),
    "value.unknown_units": _K(
        "ok",
        "The header's units name no quantity known here; values are kept as arbitrary.",
        "头文件的单位不对应已知物理量；数值按任意单位保留。",
    ),
    "value.differing_facts": _K(
        "refused",
        "Slices of one series disagree on a value that holds for all; mend the header, or remove the strays.",
        "同一序列的切片在应一致的字段上不一致；请修正头文件或移除不属于该序列的切片。",
    ),
    "value.for_processing": _K(
        "ok",
        "FOR PROCESSING: the detector's signal, not made for the eye. Models of display images do not fit it.",
        "FOR PROCESSING：探测器原始信号，未经显示处理；为显示图像训练的模型不适用。",
    ),
    "value.mask_subtraction": _K(
        "ok",
        "Frames are given unsubtracted; hexscope.modality.xray.dsa subtracts the mask the header names.",
        "帧按未减影给出；hexscope.modality.xray.dsa 可按头文件所指蒙片减影。",
    ),
    "value.conflicting_laterality": _K(
        "refused",
        "Find out which side was imaged, and mend the header: it names both.",
        "头文件同时写了左右两侧；请查明实际侧别并修正。",
    ),
    "value.bare_header": _K(
        "ok",
        "Fields that a sound header carries are absent; what rests on them cannot be known.",
        "缺少完整头文件应有的字段；依赖这些字段的信息无从得知。",
    ),
    # ---- registration
    "registration.rejected": _K(
        "refused",
        "Look at the pair; pass --force only if you trust it.",
        "请查看该图像对；确信无误时才使用 --force。",
    ),
}
