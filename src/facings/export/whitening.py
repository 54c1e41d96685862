"""An embedder that is exported with a linear layer behind it, fitted on stored crops of goods that are not enrolled."""

from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from facings.errors import ConfigError
from facings.export.enrolment import View, framed
from facings.export.networks import Network
from facings.export.parity import crop_pixels
from facings.runtime.images import read_image

FEWEST_CROPS = 2


class WhitenedEmbedder(nn.Module):
    """`model`, whose vectors of `dimension` D lose `centre` (D,), are multiplied by `matrix` (D, D) from the right, and are of unit
    length again: `facings.metrics.whitening`."""

    centre: Tensor
    matrix: Tensor

    def __init__(self, model: nn.Module, centre: NDArray[np.float64], matrix: NDArray[np.float64]) -> None:
        super().__init__()
        self.model = model
        self.dimension = int(model.dimension)  # type: ignore[arg-type]
        self.register_buffer("centre", torch.from_numpy(centre.astype(np.float32)))
        self.register_buffer("matrix", torch.from_numpy(matrix.astype(np.float32)))

    def forward(self, crops: Tensor) -> Tensor:
        """`crops` [B, 3, S, S] → [B, D] of unit length."""
        return F.normalize((self.model(crops) - self.centre) @ self.matrix, dim=1)


def fitting_products(views: Sequence[View], enrolled: Collection[str], count: int, seed: int) -> tuple[str, ...]:
    """`count` products of calibration `views` to fit the layer on, drawn: not enrolled, and with two crops or more.

    The others calibrate: fitted on the very crops that calibrate, the layer would make the standard too bold. Raises ConfigError
    where there are not so many, or none would be left.
    """
    crops: dict[str, int] = {}
    for view in views:
        if view.product_id is not None and view.product_id not in enrolled:
            crops[view.product_id] = crops.get(view.product_id, 0) + 1
    fit = sorted(name for name, number in crops.items() if number >= FEWEST_CROPS)
    if count > len(fit) or count >= len(crops):
        raise ConfigError(
            f"calibration.whiten={count}: of the calibration crops' products that are not enrolled, {len(fit)} have "
            f"{FEWEST_CROPS} crops or more, and some must be left to calibrate; give calibration.table with more of them"
        )
    return tuple(sorted(np.random.default_rng(seed).permutation(fit)[:count].tolist()))


def view_vectors(
    network: Network, views: Sequence[View], *, margin: float, advance: Callable[[], None] = lambda: None
) -> NDArray[np.float32]:
    """(V, D) of the views' crops, as training cuts and letterboxes them."""
    return np.concatenate([_embedded(network, view, margin, advance) for view in views])


def _embedded(network: Network, view: View, margin: float, advance: Callable[[], None]) -> NDArray[np.float32]:
    image, box = framed(read_image(view.path), view)
    with torch.no_grad():
        vector = network.model(torch.from_numpy(crop_pixels(image, box, margin, network))[None])
    advance()
    found: NDArray[np.float32] = vector.float().numpy()
    return found
