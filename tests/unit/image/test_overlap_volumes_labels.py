from __future__ import annotations

import numpy as np

A = np.zeros((8, 8, 8), np.uint8)
A[:4] = 255  # 256 voxels; 255 + 255 and 255 * 2 overflow uint8
B = np.zeros((8, 8, 8), np.uint8)
B[2:8] = 1  # 384 voxels, 128 shared
