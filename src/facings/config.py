"""Where the configuration tree lies.

Knows nothing of Hydra: it only finds the folder.
"""

from pathlib import Path

from facings.errors import ConfigError


def config_dir() -> Path:
    """The folder of the Hydra groups: the one inside an installed wheel, else the checkout's `configs/`.

    Raises ConfigError when neither is there.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "configs", package.parent.parent / "configs"):
        if (folder / "train.yaml").is_file():
            return folder
    raise ConfigError(
        f"no configuration folder beside {package}: reinstall facings, or run from a checkout that has configs/"
    )
