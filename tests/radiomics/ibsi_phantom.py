"""The digital phantom of the Image Biomarker Standardisation Initiative and its reference values.

Phantom: A. Zwanenburg, IBSI 1, CC BY 4.0 (https://github.com/theibsi/data_sets). Values and tolerances: reference
manual, doi:10.48550/arXiv.1612.07003; Zwanenburg et al. 2020, doi:10.1148/radiol.2020191145. Each feature stands by its
name and the manual's four-letter code.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hexscope.radiomics import FAMILIES, FeatureSettings, of_array

#: (z, y, x), voxels of 2 mm.
PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [1, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 1, 1, 1], [1, 1, 9, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ],
    np.float64,
)
#: Voxels of the box that are not of the region.
OUTSIDE = ((1, 2, 0), (2, 0, 3), (2, 0, 4), (2, 2, 2), (3, 0, 3), (3, 0, 4))
REGION = np.ones(PHANTOM.shape, bool)
REGION[tuple(np.array(OUTSIDE).T)] = False
SPACING_MM = (2.0, 2.0, 2.0)
#: The phantom is its own grey levels.
SETTINGS = FeatureSettings(bins=6, ivh_bin_width=1.0)


def computed() -> dict[str, float]:
    """Every feature of the phantom."""
    families = [family for family in FAMILIES if family != "plane"]
    return of_array(PHANTOM, REGION, SPACING_MM, families, SETTINGS)


def references() -> Iterator[tuple[str, str, float, float]]:
    """Name, code, value and tolerance of every reference value."""
    for line in _PLAIN.splitlines():
        name, code, value, tolerance = line.split()
        yield name, code, float(value), float(tolerance) or _last_digit(value)
    for table, tags in ((_DIRECTIONAL, _SIX), (_WITHOUT_DIRECTION, _THREE)):
        for line in table.splitlines():
            name, code, *values = line.split()
            for tag, value in zip(tags, values, strict=True):
                yield f"{name}_{tag}", code, float(value), _last_digit(value)


def _last_digit(value: str) -> float:
    """Where the manual states no tolerance, its value holds to the three digits it gives: half a unit of the third."""
    number = abs(float(value))
    return float(0.5 * 10.0 ** (np.floor(np.log10(number)) - 2)) if number else 1e-9


_SIX = ("2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb")
_THREE = ("2D", "2_5D", "3D")

#: name, code, value, tolerance
_PLAIN = """\
morph_volume RNU0 556 4
morph_vol_approx YEKZ 592 4
morph_area_mesh C0JK 388 3
morph_av 2PR5 0.698 0.004
morph_comp_1 SKGS 0.0411 0.0003
morph_comp_2 BQWJ 0.599 0.004
morph_sph_dispr KRCK 1.19 0.01
morph_sphericity QCFX 0.843 0.005
morph_asphericity 25C7 0.186 0.001
morph_com KLMA 0.672 0.004
morph_diam L0JK 13.1 0.1
morph_pca_maj_axis TDIC 11.4 0.1
morph_pca_min_axis P9VJ 9.31 0.06
morph_pca_least_axis 7J51 8.54 0.05
morph_pca_elongation Q3CK 0.816 0.005
morph_pca_flatness N17B 0.749 0.005
morph_vol_dens_aabb PBX1 0.869 0.005
morph_area_dens_aabb R59B 0.866 0.005
morph_vol_dens_aee 6BDE 1.17 0.01
morph_area_dens_aee RDD2 1.36 0.01
morph_vol_dens_conv_hull R3ER 0.961 0.006
morph_area_dens_conv_hull 7T7F 1.03 0.01
morph_integ_int 99N0 1200 10
morph_moran_i N365 0.0397 0.0003
morph_geary_c NPT7 0.974 0.006
loc_peak_loc VJGA 2.6 0
loc_peak_glob 0F91 3.1 0
stat_mean Q4LE 2.15 0
stat_var ECT3 3.05 0
stat_skew KE2A 1.08 0
stat_kurt IPH6 -0.355 0
stat_median Y12H 1 0
stat_min 1GSF 1 0
stat_p10 QG58 1 0
stat_p90 8DWT 4 0
stat_max 84IY 6 0
stat_iqr SALO 3 0
stat_range 2OJQ 5 0
stat_mad 4FUA 1.55 0
stat_rmad 1128 1.11 0
stat_medad N72L 1.15 0
stat_cov 7TET 0.812 0
stat_qcod 9S40 0.6 0
stat_energy N8CA 567 0
stat_rms 5ZWQ 2.77 0
ih_mean X6K6 2.15 0
ih_var CH89 3.05 0
ih_skew 88K1 1.08 0
ih_kurt C3I7 -0.355 0
ih_median WIFQ 1 0
ih_min 1PR8 1 0
ih_p10 GPMT 1 0
ih_p90 OZ0C 4 0
ih_max 3NCY 6 0
ih_mode AMMC 1 0
ih_iqr WR0O 3 0
ih_range 5Z3W 5 0
ih_mad D2ZX 1.55 0
ih_rmad WRZB 1.11 0
ih_medad 4RNL 1.15 0
ih_cov CWYJ 0.812 0
ih_qcod SLWD 0.6 0
ih_entropy TLU2 1.27 0
ih_uniformity BJ5W 0.512 0
ih_max_grad 12CE 8 0
ih_max_grad_g 8E6O 3 0
ih_min_grad VQB3 -50 0
ih_min_grad_g RHQZ 1 0
ivh_v10 BC2M 0.324 0
ivh_v90 BC2M 0.0946 0
ivh_i10 GBPN 5 0
ivh_i90 GBPN 2 0
ivh_diff_v10_v90 DDTU 0.23 0
ivh_diff_i10_i90 CNV2 3 0"""

#: name, code, values by `_SIX`
_DIRECTIONAL = """\
cm_joint_max GYBY 0.519 0.512 0.489 0.492 0.503 0.509
cm_joint_avg 60VM 2.14 2.14 2.2 2.2 2.14 2.15
cm_joint_var UR99 2.69 2.71 3.22 3.24 3.1 3.13
cm_joint_entr TU9B 2.05 2.24 2.48 2.61 2.4 2.57
cm_diff_avg TF7R 1.42 1.4 1.46 1.44 1.43 1.38
cm_diff_var D3YU 2.9 3.06 3.11 3.23 3.06 3.21
cm_diff_entr NTRS 1.4 1.49 1.61 1.67 1.56 1.64
cm_sum_avg ZGXS 4.28 4.29 4.41 4.41 4.29 4.3
cm_sum_var OEEB 5.47 5.66 7.48 7.65 7.07 7.41
cm_sum_entr P6QZ 1.6 1.79 2.01 2.14 1.92 2.11
cm_energy 8ZQL 0.368 0.352 0.286 0.277 0.303 0.291
cm_contrast ACUI 5.28 5.19 5.39 5.29 5.32 5.12
cm_dissimilarity 8S9J 1.42 1.4 1.46 1.44 1.43 1.38
cm_inv_diff IB1Z 0.678 0.683 0.668 0.673 0.677 0.688
cm_inv_diff_norm NDRX 0.851 0.854 0.847 0.85 0.851 0.856
cm_inv_diff_mom WF0Z 0.619 0.625 0.606 0.613 0.618 0.631
cm_inv_diff_mom_norm 1QCO 0.899 0.901 0.897 0.899 0.898 0.902
cm_inv_var E8JP 0.0567 0.0553 0.0597 0.0582 0.0604 0.0574
cm_corr NI2N -0.0121 0.0173 0.178 0.182 0.157 0.183
cm_auto_corr QWB0 5.09 5.14 5.4 5.45 5.06 5.19
cm_clust_tend DG8W 5.47 5.66 7.48 7.65 7.07 7.41
cm_clust_shade 7NFM 7 6.98 16.6 16.4 16.6 17.4
cm_clust_prom AE86 79.1 80.4 147 142 145 147
cm_info_corr1 R8DG -0.155 -0.0341 -0.124 -0.0334 -0.157 -0.0288
cm_info_corr2 JN9H 0.487 0.263 0.487 0.291 0.52 0.269
rlm_sre 22OV 0.641 0.661 0.665 0.68 0.705 0.729
rlm_lre W4KF 3.78 3.51 3.46 3.27 3.06 2.76
rlm_lgre V3SW 0.604 0.609 0.58 0.585 0.603 0.607
rlm_hgre G3QZ 9.82 9.74 10.3 10.2 9.7 9.64
rlm_srlge HTZT 0.294 0.311 0.296 0.312 0.352 0.372
rlm_srhge GD3A 8.57 8.67 9.03 9.05 8.54 8.67
rlm_lrlge IVPO 3.14 2.92 2.79 2.63 2.39 2.16
rlm_lrhge 3KUM 17.4 16.1 17.9 17 17.6 15.6
rlm_glnu R5YN 5.2 20.5 19.5 77.1 21.8 281
rlm_glnu_norm OVBL 0.46 0.456 0.413 0.412 0.43 0.43
rlm_rlnu W92Y 6.12 21.6 22.3 83.2 26.9 328
rlm_rlnu_norm IC23 0.492 0.441 0.461 0.445 0.513 0.501
rlm_r_perc 9ZK5 0.627 0.627 0.632 0.632 0.68 0.68
rlm_gl_var 8CE5 3.35 3.37 3.58 3.59 3.46 3.48
rlm_rl_var SXLW 0.761 0.778 0.758 0.767 0.574 0.598
rlm_rl_entr HJ9O 2.17 2.57 2.52 2.76 2.43 2.62"""

#: name, code, values by `_THREE`
_WITHOUT_DIRECTION = """\
szm_sze 5QRC 0.363 0.368 0.255
szm_lze 48P8 43.9 34.2 550
szm_lgze XMSY 0.371 0.368 0.253
szm_hgze 5GN9 16.4 16.2 15.6
szm_szlge 5RAI 0.0259 0.0295 0.0256
szm_szhge HW1V 10.3 9.87 2.76
szm_lzlge YH51 40.4 30.6 503
szm_lzhge J17V 113 107 1490
szm_glnu JNSA 1.41 5.44 1.4
szm_glnu_norm Y1RO 0.323 0.302 0.28
szm_zsnu 4JP3 1.49 3.44 1
szm_zsnu_norm VB3A 0.333 0.191 0.2
szm_z_perc P30P 0.24 0.243 0.0676
szm_gl_var BYLV 3.97 3.92 2.64
szm_zs_var 3NSA 21 17.3 331
szm_zs_entr GU8N 1.93 3.08 2.32
dzm_sde 0GBI 0.946 0.917 1
dzm_lde MB4I 1.21 1.33 1
dzm_lgze S1RA 0.371 0.368 0.253
dzm_hgze K26C 16.4 16.2 15.6
dzm_sdlge RUVG 0.367 0.362 0.253
dzm_sdhge DKNJ 15.2 14.3 15.6
dzm_ldlge A7WM 0.386 0.391 0.253
dzm_ldhge KLTH 21.3 23.7 15.6
dzm_glnu VFT7 1.41 5.44 1.4
dzm_glnu_norm 7HP3 0.323 0.302 0.28
dzm_zdnu V294 3.79 14.4 5
dzm_zdnu_norm IATH 0.898 0.802 1
dzm_z_perc VIWW 0.24 0.243 0.0676
dzm_gl_var QK93 3.97 3.92 2.64
dzm_zd_var 7WT1 0.051 0.0988 0
dzm_zd_entr GBDU 1.73 2 1.92
ngt_coarseness QCDE 0.121 0.0285 0.0296
ngt_contrast 65HE 0.925 0.601 0.584
ngt_busyness NQ30 2.99 6.8 6.54
ngt_complexity HDEZ 10.4 14.1 13.5
ngt_strength 1X9X 2.88 0.741 0.763
ngl_lde SODN 0.158 0.159 0.045
ngl_hde IMOQ 19.2 18.8 109
ngl_lgce TL9H 0.702 0.693 0.693
ngl_hgce OAE7 7.49 7.66 7.66
ngl_ldlge EQ3F 0.0473 0.0477 0.00963
ngl_ldhge JA6D 3.06 3.07 0.736
ngl_hdlge NBZI 17.6 17.2 102
ngl_hdhge 9QMG 49.5 50.8 235
ngl_glnu FP8K 10.2 37.9 37.9
ngl_glnu_norm 5SPA 0.562 0.512 0.512
ngl_dcnu Z87G 3.96 12.4 4.86
ngl_dcnu_norm OKJI 0.212 0.167 0.0657
ngl_dc_perc 6XV8 1 1 1
ngl_gl_var 1PFV 2.7 3.05 3.05
ngl_dc_var DNX2 2.73 3.27 22.1
ngl_dc_entr FCBV 2.71 3.36 4.4
ngl_dc_energy CAS9 0.17 0.122 0.0533"""
