"""The faults that facings reports to a person.

Each message names the file or field, what was found there, and what would do. Anything that is not a
`FacingsError` is a fault of the program, and keeps its traceback.
"""


class FacingsError(Exception):
    """A fault that the user can mend; the command line prints it without a traceback and exits with 2."""


class ConfigError(FacingsError):
    """A setting that is unknown, missing, or contradicts another."""


class DataError(FacingsError):
    """A dataset, table or picture that cannot be used as it is."""


class CheckpointError(FacingsError):
    """A checkpoint that is missing, damaged, or of another model."""


class BundleError(FacingsError):
    """A bundle that is damaged, tampered with, or of an unknown schema."""


class GalleryError(FacingsError):
    """A gallery that is damaged, made with another embedder, or asked for an item that it lacks."""
