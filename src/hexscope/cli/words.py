"""The words of the command line in Chinese. English is the key; what is missing here is said in English."""

from __future__ import annotations

import os
from collections.abc import Sequence


def choose_language(arguments: Sequence[str]) -> str:
    """``--lang``, else $HEXSCOPE_LANG, $LC_ALL or $LANG: "en" or "zh"."""
    for at, argument in enumerate(arguments):
        if argument == "--lang" and at + 1 < len(arguments):
            return "zh" if arguments[at + 1] == "zh" else "en"
        if argument.startswith("--lang="):
            return "zh" if argument.endswith("=zh") else "en"
    wish = os.environ.get("HEXSCOPE_LANG") or os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return "zh" if wish.lower().startswith("zh") else "en"


def tr(text: str, language: str) -> str:
    """``text`` in ``language``."""
    return ZH.get(text, text) if language == "zh" else text


ZH = {
    "Six kinds of medical image, five tasks, one physical space.": "六种医学影像，五类任务，同一个物理空间。",
    "Research software, not a medical device: candidates and scores, never a diagnosis.":
        "科研软件，不是医疗器械：给出候选与评分，绝不给出诊断。",
    "commands": "命令",
    "error": "错误",
    "remedy": "处理办法",
    "stopped": "已中止",
    "print one JSON value on stdout": "在标准输出打印一个 JSON 值",
    "language of messages": "消息语言",
    "file, folder of one series, PATH#SERIES, or PATH#SERIES@t=N for one time point": "文件、单一序列的文件夹、PATH#SERIES，或取单个时间点的 PATH#SERIES@t=N",
    "spacing of an image that does not say": "为未写明间距的图像指定间距（毫米）",
    "what an image is that does not say, e.g. CT:HU or PT:SUVbw": "为未写明的图像声明模态与物理量，如 CT:HU 或 PT:SUVbw",
    "interpolate uneven or missing slices instead of refusing": "对不等间距或缺失的切片做插值，而不是拒绝",
    "where to write; its name says the format": "输出位置；由文件名决定格式",
    "what lies at PATH, by series; headers only": "按序列列出 PATH 的内容；只读头文件",
    "a verdict on every series and file: ok, repaired, refused, ignored": "对每个序列与文件给出结论：正常、已修复、已拒绝、已忽略",
    "the guide of a modality: what it measures, its unit, its traps": "模态指南：测量什么、单位、陷阱",
    "volume, area, diameter and values, per label of a mask": "按掩膜标签给出体积、面积、直径与数值",
    "the image whose values are measured": "用于测量数值的图像",
    "an image or mask in the format of the name of OUT": "把图像或掩膜转换为 OUT 文件名所示格式",
    "an image whose grid the result takes (contours need one)": "结果所用网格的图像（轮廓需要）",
    "an image in another quantity (HU, SUVbw, ...), with its ledger": "把图像换算为另一物理量（HU、SUVbw 等），附换算账目",
    "an image or mask on another grid; a mask stays a mask": "把图像或掩膜重采样到另一网格；掩膜仍是掩膜",
    "the image whose grid is taken": "提供目标网格的图像",
    "a transform from register": "由 register 得到的变换",
    "the transform that brings MOVING onto FIXED, with a verdict on it": "把 MOVING 配准到 FIXED 的变换，附可信结论",
    "also write the moving image on the fixed grid": "同时输出重采样到固定网格的移动图像",
    "many pairs: columns case, fixed, moving; OUT is a folder": "多对图像：列 case、fixed、moving；OUT 为文件夹",
    "two images in one frame: picture or volume, numbers kept": "同一坐标系中的两幅图像融合：图片或体数据，数值保留",
    "fuse although the registration is rejected": "即使配准被否决也融合",
    "structures, by a trained model or by rules: body, lung, bone, tissue, fan": "分割结构：用训练好的模型，或用规则（体表、肺、骨、组织、超声扇区）",
    "name of a model, or a model folder": "模型名称或模型文件夹",
    "an input of a model that takes several": "多输入模型的一个输入",
    "also write how unsure each pixel is, 0 to 1": "另存每个像素的不确定度，0 到 1",
    "models that are here, with their cards; or bring one in": "列出现有模型及其卡片；或导入一个模型",
    "a model folder to bring in": "要导入的模型文件夹",
    "where the model goes": "模型存放位置",
    "task by modality: what works, on what it was measured": "任务与模态对照表：哪些可用，在什么数据上测得",
    "how a model was made, choice by choice with reasons; or what differs between two": "模型如何训练：逐项选择及理由；或比较两个模型的差异",
    "a model on labelled cases: every metric with its interval": "在带标注病例上评价模型：各项指标及区间",
    "also every case by itself": "同时逐例列出",
    "fetch a public set: checked, unpacked, with a table of cases; or list the sets": "获取公开数据集：校验、解包并生成病例表；或列出数据集",
    "a new folder for the set": "存放数据集的新文件夹",
    "a place that holds the same files, instead of the public one": "存有相同文件的位置，代替公开地址",
    "table of labelled cases: CSV, dataset.json, COCO, a folder": "带标注的病例表：CSV、dataset.json、COCO 或文件夹",
    "what images are that do not say, e.g. MR, or pet=PT:SUVbw,ct=CT:HU": "为未写明的图像声明类别，如 MR，或 pet=PT:SUVbw,ct=CT:HU",
    "take cases of which an input is blank": "接受缺少某个输入的病例",
    "make a model from labelled cases, with its plan, card and report": "用带标注的病例训练模型，附方案、卡片与报告",
    "what the model is called": "模型名称",
    "the model's folder; without it, your own shelf": "模型文件夹；不写则放入用户模型目录",
    "CPU minutes of training; 10": "训练的 CPU 分钟数；默认 10",
    "measure every patient: K trainings more": "对每位患者都做评价：另加 K 次训练",
    "columns that are channels, in this order": "作为输入通道的列，按此顺序",
    "your own value for a choice of the plan": "为方案中的某项选择指定取值",
    "go on where an interrupted training stopped": "从上次中断的训练处继续",
    "what label values mean, e.g. 1=head": "标签值的含义，如 1=head",
    "for the card: what the cases are": "写入卡片：训练数据说明",
    "for the card: the terms of the weights": "写入卡片：权重的许可条款",
    "for the card: what it must not be used for": "写入卡片：不得用于何种场合",
    "checking cases": "核查病例", "preparing cases": "准备病例", "training": "训练",
    "note: {text}": "说明：{text}",
    "{done} of {total}: {figures}": "{done}/{total}：{figures}",
    "the two plans are alike": "两份方案相同",
    "measuring cases": "逐例测量",
    "choice": "选择", "first": "第一个", "second": "第二个", "because": "原因", "metric": "指标",
    "mean (95 % interval)": "均值（95 % 区间）", "set": "数据集", "title": "标题", "direct": "可直接获取",
    "use this model wherever its modality is; others are used where image and card say that they fit": "凡模态相符即使用此模型；其他模型仅在图像与卡片表明适用时使用",
    "model": "模型", "task": "任务", "input": "输入", "classes": "类别", "measured": "测得", "licence": "许可", "limits": "使用限制",
    "by": "依据", "what": "对象", "measured on": "测量数据",
    "hot-lesion candidates on PET: where, how hot, how large": "PET 高摄取病灶候选：位置、强度、大小",
    "SUV of the fixed threshold": "固定阈值的 SUV",
    "liver mask, or a sphere: centre in LPS mm and radius": "肝脏掩膜，或球体：LPS 毫米中心与半径",
    "a messy folder becomes a study with a report": "把杂乱的文件夹整理为带报告的检查",
    "go on where an interrupted run stopped": "从上次中断处继续",
    "all images are of one patient (files without names)": "所有图像属于同一患者（文件未注明）",
    "write the digital patient (synthetic) as a messy folder with its truth": "把数字病人（合成）写成杂乱文件夹，附真值",
    "all, none, or fault codes a,b": "all、none，或故障代码 a,b",
    "phantom, its study, its report, and the comparison with the truth": "数字病人、其检查与报告，以及与真值的比较",
    "reading headers": "读取头文件",
    "checking pixels": "核查像素",
    "no image was found in {n} files": "在 {n} 个文件中没有找到图像",
    "refused: {where}: {why}": "已拒绝：{where}：{why}",
    "case {n} of {total}: {name}": "病例 {n}/{total}：{name}",
    "failed: {name}: {why}": "失败：{name}：{why}",
    "synthetic: no patient was ever scanned for this": "合成数据：从未扫描过任何患者",
    "modality": "模态", "kind": "种类", "shape": "形状", "spacing mm": "间距 mm", "quantity": "物理量", "files": "文件数",
    "faults": "故障", "description": "描述", "verdict": "结论", "item": "条目", "detail": "说明", "label": "标签",
    "volume ml": "体积 ml", "area px": "面积 px", "diameter mm": "直径 mm", "mean": "均值", "max": "最大值",
    "factor": "因子", "value": "值", "unit": "单位", "field": "字段", "series": "序列", "role": "角色",
    "sorting {folder}": "整理 {folder}",
    "auditing {n} series": "核查 {n} 个序列",
    "true units": "换算为真实单位",
    "choosing roles": "选择角色",
    "registering {moving} onto {fixed}": "将 {moving} 配准到 {fixed}",
    "checking {moving} against {fixed}": "核查 {moving} 与 {fixed} 是否对齐",
    "fusing {moving} on {fixed}": "融合 {moving} 与 {fixed}",
    "segmenting {name}": "分割 {name}",
    "looking for candidates in {name}": "在 {name} 中寻找候选",
    "writing the report": "生成报告",
    "report: {path}": "报告：{path}",
    "comparing many starts": "比较多个起点",
    "climbing from the best of them": "从最好的几个起点出发优化",
    "climbing to the end": "最终优化",
    "gathering evidence on the registration": "收集配准的证据",
    "no image was found in {folder}": "在 {folder} 中没有找到图像",
    "what files are that do not say: e.g. 'CT*=CT:HU', 'PET*=PT:SUVbw', '*mask*=mask'": "声明未写明的文件，如 'CT*=CT:HU'、'PET*=PT:SUVbw'、'*mask*=mask'",
    "writing the digital patient": "生成数字病人",
}  # fmt: skip
