"""The base package alone, as a shop installs it: does it run a bundle, how large is it, how long does it take to import?

    python scripts/bundle_install.py --bundle bundles/demo-1 --result bundle-install

Builds the wheel of this checkout, installs it without extras into a fresh environment that goes again, and runs `facings
verify` and `facings predict` there. Packages come from where pip takes them. It wants a quiet machine for the time of the import.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.fresh_install import METRICS, Install, build_wheel, install, measure
from facings.benchmark.record import git_state, given_words
from facings.commands.script import script
from facings.files import sha256

ROOT = Path(__file__).resolve().parents[1]
DEFAULTS = {"repeats": 9}


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="the folder that `facings export` wrote")
    parser.add_argument(
        "--repeats", type=int, default=DEFAULTS["repeats"], help="imports, each in a process of its own"
    )
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (bundle-install)")
    options = parser.parse_args(arguments)
    run(options, Console())
    return 0


def run(options: argparse.Namespace, console: Console) -> None:
    """Build, install, measure, print, write. Raises ConfigError or BundleError for what the user can mend."""
    commit = git_state()
    if options.result:
        claim_of(options.result, available=METRICS)
    with TemporaryDirectory() as scratch:
        place = Path(scratch).resolve()
        with console.status("building and installing the wheel …"):
            wheel = build_wheel(ROOT, place)
            python = install(wheel, place / "shop", ROOT / "constraints.txt")
        with console.status("running the bundle …"):
            found = measure(python, options.bundle, place, repeats=options.repeats)
    show(found, console)
    if options.result:
        words = [
            "python scripts/bundle_install.py",
            f"--bundle {options.bundle}",
            *given_words(vars(options), DEFAULTS),
        ]
        write_claim(
            options.result,
            found.headline(),
            command=" ".join([*words, f"--result {options.result}"]),
            data={"bundle": sha256(options.bundle / "SHA256SUMS"), "constraints": sha256(ROOT / "constraints.txt")},
            seeds=[],
            commit=commit,
        )


def show(found: Install, console: Console) -> None:
    """Figures, what was installed, and the last word of `facings verify`."""
    table = Table("figure", "value", title="pip install facings, no extras")
    table.add_row("site-packages", f"{found.mib:.0f} MiB")
    table.add_row("import of the store's runtime", f"{found.headline()['import_seconds']['value']:.3f} s")
    table.add_row(f"peak of facings predict, {found.pictures} pictures", f"{found.peak_mib:.0f} MiB")
    console.print(table)
    console.print("installed: " + ", ".join(f"{name} {version}" for name, version in found.versions.items()))
    console.print(found.checks[-1])


if __name__ == "__main__":
    sys.exit(main())
