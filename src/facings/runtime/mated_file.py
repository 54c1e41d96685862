"""`calibration_mated.npy` of a bundle: how alike calibration crops are to enrolment photos of their own product.

Knows nothing of what follows from it. The file may be hostile: no memory is taken for it before its size is known to be true.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facings.errors import BundleError
from facings.runtime.array_file import read_array

# Enrolment photos of a product that anybody would count.
MOST_PHOTOS = 1000
# Of a cosine of unit vectors in float32.
ROUNDING = 1e-3


def read_mated(path: Path) -> NDArray[np.float32]:
    """(C, V) float32, V from 1 to MOST_PHOTOS: column v is the similarity to the best of the first v + 1 photos, nan where there
    were fewer. Raises BundleError for anything else, and for a file that is longer or shorter than its header says."""
    try:
        values = read_array(path, fortran=False)
    except ValueError as fault:
        raise BundleError(f"{path}: {fault}; expected float32 (crops, photos)") from fault
    shape, kind = values.shape, values.dtype
    if len(shape) != 2 or not 1 <= shape[1] <= MOST_PHOTOS or kind != np.dtype("<f4"):
        raise BundleError(
            f"{path}: holds {kind} {shape}; expected float32 (crops, photos) with 1 to {MOST_PHOTOS} photos"
        )
    if (np.isinf(values) | (np.abs(values) > 1 + ROUNDING)).any():
        raise BundleError(f"{path}: holds numbers that are no similarities; expected -1 to 1, or nan")
    if (np.isnan(values[:, :-1]) & ~np.isnan(values[:, 1:])).any():
        raise BundleError(f"{path}: a crop has more photos and none before; nan stands at the end of a row alone")
    return values
