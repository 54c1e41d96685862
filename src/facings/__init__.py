"""Product recognition research toolkit: detectors and re-identification models for shelf cameras."""

__version__ = "0.1.0"
