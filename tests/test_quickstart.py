"""The main job, shortened: does the chain of commands hold together?"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_quickstart_holds_together(tmp_path: Path) -> None:
    """In a folder of its own, so that nothing of the checkout's data or logs is touched."""
    script = ROOT / "scripts" / "quickstart.py"
    done = subprocess.run(
        [sys.executable, str(script), "--fast"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    folder = next((tmp_path / "logs" / "quickstart").iterdir())
    assert (folder / "benchmark" / "report.html").is_file() and list((folder / "predict").glob("*.annotated.jpg"))
    assert "detection AP50" in done.stdout
