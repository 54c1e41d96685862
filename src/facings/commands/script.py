"""The frame of the programs in `scripts/`. Knows nothing of what they do."""

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Protocol

from facings.errors import FacingsError

INTERRUPTED = 130


class Main(Protocol):
    """A program: its words (the command line's by default) in, exit code out."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int: ...


def script(file: str, *, interrupted: str | None = None) -> Callable[[Main], Main]:
    """Decorates the `main` of the program `file`: what the user can mend becomes a line on stderr and exit code 2.

    `interrupted`: what Ctrl-C leaves behind, said on stderr with exit code 130; None lets it pass.
    """

    def decorated(main: Main) -> Main:
        @wraps(main)
        def guarded(arguments: Sequence[str] | None = None) -> int:
            try:
                return main(arguments)
            except FacingsError as fault:
                code, told = 2, str(fault)
            except KeyboardInterrupt:
                if interrupted is None:
                    raise
                code, told = INTERRUPTED, f"interrupted; {interrupted}"
            sys.stderr.write(f"{Path(file).stem}: {told}\n")
            return code

        return guarded

    return decorated
