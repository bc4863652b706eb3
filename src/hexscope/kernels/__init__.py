"""Compiled loops over voxels: one file a family of them. A kernel takes C-contiguous arrays and numbers, writes into
arrays that it is given, allocates nothing, raises nothing, and does the planes ``start`` to ``stop`` of its work, so
that `hexscope.kernels.threads` can share them out without changing a byte of the answer."""
