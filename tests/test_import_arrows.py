"""The house: imports run down only, and the store's runtime never loads what a shop has not got."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "facings"
GROUND = {
    "structures",
    "boxes",
    "masks",
    "tile_merging",
    "tiles",
    "errors",
    "files",
    "config",
    "spreading",
    "suggestions",
    "strict_json",
    "__init__",
}
# Room → the rooms that it may import, beside the ground floor and itself.
ARROWS = {
    "metrics": set(),
    "analysis": {"metrics"},
    "runtime": set(),
    "models": set(),
    "losses": set(),
    "data": {"runtime"},
    "tasks": {"metrics"},
    "export": {"data", "runtime"},
    "benchmark": {"data", "metrics", "runtime", "analysis"},
    "commands": {"analysis", "data", "tasks", "export", "benchmark", "runtime", "metrics"},
}
HEAVY = ("torch", "torchvision", "timm", "hydra", "omegaconf", "pandas", "PIL", "cv2", "onnx", "albumentations", "rich")
FILES = sorted(SOURCE.rglob("*.py"))


def imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(str(node.module))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_down_only(path: Path) -> None:
    parts = path.relative_to(SOURCE).parts
    room = parts[0] if len(parts) > 1 else "ground"
    for name in imports(path):
        if not name.startswith("facings."):
            continue
        target = name.split(".")[1]
        if room == "ground":
            assert target in GROUND, f"{path.name} imports {name}: the ground floor imports no room"
        else:
            allowed = GROUND | ARROWS[room] | {room}
            assert target in allowed, (
                f"{path.relative_to(SOURCE)} imports {name}: {room} may import {sorted(ARROWS[room])}"
            )


def test_every_room_is_drawn() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(ARROWS)


@pytest.mark.parametrize("module", ["runtime", "runtime.cli", "runtime.recognizer", "runtime.verify", "commands.cli"])
def test_store_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, facings.{module}; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_commands_see_hydra() -> None:
    """`tasks.checkpoint` builds a model out of its own file; no other room but `commands` knows of configurations."""
    for path in FILES:
        room = path.relative_to(SOURCE).parts[0]
        if room not in ("commands",) and path.name != "checkpoint.py":
            assert not [n for n in imports(path) if n.split(".")[0] in ("hydra", "omegaconf")], path
