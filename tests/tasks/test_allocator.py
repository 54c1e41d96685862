import platform
import subprocess
import sys

import pytest

# Page faults of ten blocks of 64 MiB, taken, filled and freed in turn.
FAULTS = """
import resource, sys
from facings.tasks.allocator import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else True
assert kept
for _ in range(2):
    bytearray(64 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray(b"x") * (64 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_blocks_are_taken_again_without_page_faults() -> None:
    faults = {
        how: int(subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True).stdout)
        for how in ("keep", "give")
    }
    assert faults["keep"] < 100 < faults["give"]
