"""Which parts of a benchmark on frames each protocol asks. Knows nothing of how they are asked."""

from collections.abc import Mapping

from facings.benchmark.frames import Data
from facings.errors import ConfigError
from facings.runtime.bundle import Bundle

# Protocol → parts of `benchmark.json`; of a part that is not asked nothing is run.
PARTS: Mapping[str, tuple[str, ...]] = {
    "frames": ("detection", "identification", "end_to_end", "recognition", "latency"),
    "detection": ("detection",),
    "recognition": ("identification", "recognition"),
    "end_to_end": ("end_to_end",),
}


def check_answerable(protocol: str, bundle: Bundle, data: Data) -> None:
    """Raise ConfigError where bundle or data have nothing for a protocol of one part; `frames` takes what there is."""
    if protocol == "frames":
        return
    parts = PARTS[protocol]
    if "recognition" not in parts and not bundle.has("detector"):
        raise ConfigError(f"{bundle.path}: has no detector, which protocol={protocol} asks; try protocol=recognition")
    if "detection" not in parts and not has_gallery(bundle):
        raise ConfigError(f"{bundle.path}: has no gallery, which protocol={protocol} asks; export with an embedder and "
                          "gallery.table, or `facings enroll` products")  # fmt: skip
    if "recognition" not in parts and not data.frames:
        raise ConfigError(f"{data.name}: has no frames, which protocol={protocol} asks; give data.annotations")
    named = bool(data.queries) or any(product is not None for frame in data.frames for product in frame.products)
    if "detection" not in parts and not named:
        raise ConfigError(
            f"{data.name}: no object has a product_id that is known, so protocol={protocol} has nothing to hold names against"
            + (
                "; give recognition.table, or try protocol=detection"
                if "recognition" in parts
                else "; try protocol=detection"
            )
        )


def has_gallery(bundle: Bundle) -> bool:
    """Whether the bundle can name products."""
    return bundle.has("embedder") and (bundle.path / "gallery" / "CURRENT").is_file()
