"""How sharp the sharpest edges of a picture are: of a blurred one even those are wide. Knows nothing of files.

After Marziliano, Dufaux, Winkler, Ebrahimi: "A no-reference perceptual blur metric", ICIP 2002, which measures the width of edges
along rows. Here the steepest slope of a neighbourhood is taken as a share of its contrast, along rows and columns, so that neither
a soft background nor a dark room counts, and motion in one direction does.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

# Pictures are judged at so many pixels of their longer side, for the eye sees them whole; smaller than the second, not at all.
SIDE, SMALLEST = 512, 256
# Pixels that the steepest slope is looked for in, and, wider, those of its edge's contrast: half an edge would look steep.
NEAR, AROUND = 15, 25
# Gray values that make an edge; share of the picture that must hold some.
CONTRAST, SHARE = 40.0, 0.01
# Noise would make slopes of its own.
SMOOTHED = 0.6


def sharpness(gray: NDArray[np.uint8]) -> float | None:
    """Gray values (H, W) → slope of the sharpest edges, as share of their contrast a pixel, along rows or columns: the lesser.

    About 0.4 for a photo in focus; an edge that a Gaussian of s pixels has smoothed has 1 / (s √(2π)), which is 0.2 for two. None
    for a picture that is small, or without edges to judge by.
    """
    scale = SIDE / max(gray.shape)
    if scale > SIDE / SMALLEST:
        return None
    if scale < 1:
        size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
        gray = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)
    smooth = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), SMOOTHED)
    found = []
    for across, down in ((1, 0), (0, 1)):
        near, around = (np.ones((1, reach) if across else (reach, 1), np.uint8) for reach in (NEAR, AROUND))
        slope = np.abs(cv2.Sobel(smooth, cv2.CV_32F, across, down, ksize=1)) / 2
        contrast = cv2.dilate(smooth, around) - cv2.erode(smooth, around)
        edges = contrast > CONTRAST
        if edges.mean() >= SHARE:
            found.append(float(np.quantile(cv2.dilate(slope, near)[edges] / contrast[edges], 0.9)))
    return min(found, default=None)
