"""Random operations on a gallery, beside a dictionary that does the same in the simplest way."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from facings.errors import GalleryError
from facings.runtime.gallery import Change, Gallery, non_mated_scores
from facings.runtime.gallery_content import Content, changed, fresh
from facings.runtime.gallery_crops import keep_crop
from tests.runtime.gallery_parts import unit_rows

DIMENSION = 4
PICTURES = [
    keep_crop(np.full((4, 4, 3), shade, np.uint8), np.array([1, 1, 3, 3], np.float32), 0.0) for shade in range(20)
]
OPERATIONS = ("add", "add", "add", "replace", "retire", "restore", "remove")


@dataclass
class Model:
    """Product → views, in the order of enrolment; which are retired; and the names of the crops that are kept of each."""

    views: dict[str, np.ndarray]
    retired: set[str] = field(default_factory=set)
    crops: dict[str, list[str]] = field(default_factory=dict)

    def copy(self) -> "Model":
        return Model(dict(self.views), set(self.retired), {name: list(own) for name, own in self.crops.items()})

    def take(self, change: Change) -> bool:
        """Do it, or say that it cannot be done."""
        name, operation, vectors = change.product_id, change.operation, change.vectors
        answered = [known for known in self.views if known not in self.retired]
        if operation == "add":
            if name in self.retired:
                return False
            old = [self.views[name]] if name in self.views else []
            self.views[name] = np.concatenate([*old, vectors])
            self.crops.setdefault(name, []).extend(crop.sha256 for crop in change.crops)
            return True
        if name not in self.views:
            return False
        if operation == "replace":
            self.views[name] = vectors
            self.crops[name] = [crop.sha256 for crop in change.crops]
        elif operation == "restore":
            if name not in self.retired:
                return False
            self.retired.remove(name)
        elif operation == "retire":
            if name in self.retired or answered == [name]:
                return False
            self.retired.add(name)
        else:
            if answered == [name]:
                return False
            del self.views[name]
            self.crops.pop(name, None)
            self.retired.discard(name)
        return True


def random_changes(rng: np.random.Generator) -> list[Change]:
    count = int(rng.choice([1, 1, 1, 2, 5]))
    made = []
    for _ in range(count):
        operation = OPERATIONS[rng.integers(len(OPERATIONS))]
        vectors = unit_rows(rng, int(rng.integers(1, 5)), DIMENSION) if operation in ("add", "replace") else None
        kept = 0 if vectors is None else int(rng.integers(0, len(vectors) + 1))
        crops = [PICTURES[number] for number in rng.integers(len(PICTURES), size=kept)]
        made.append(Change(operation, f"p{rng.integers(12)}", vectors, crops=crops))
    return made


def agree(content: Content, model: Model) -> None:
    assert content.items == tuple(model.views) and content.retired == model.retired
    assert content.active_items == tuple(name for name in model.views if name not in model.retired)
    for name, views in model.views.items():
        np.testing.assert_array_equal(content.views_of(name), views)
    for number, name in enumerate(content.active_items):
        np.testing.assert_array_equal(content.active_vectors[content.active_owner == number], model.views[name])
    kept = {name: [crop.sha256 for crop in own] for name, own in content.crops.items()}
    assert kept == {name: own for name, own in model.crops.items() if own}
    content.check("the random gallery")
    assert sum(content.owner.array < 0) <= len(content.owner.array) // 2


def first(rng: np.random.Generator) -> tuple[Content, Model]:
    vectors = unit_rows(rng, 4, DIMENSION)
    calibration = unit_rows(rng, 6, DIMENSION)
    owners = ["p0", None, "p1", None, "p5", "elsewhere"]
    content = fresh(vectors, np.array([0, 0, 1, 1]), ["p0", "p1"], {}, calibration, owners)
    return content, Model({"p0": vectors[:2], "p1": vectors[2:]})


def step(content: Content, model: Model, changes: list[Change]) -> tuple[Content, Model]:
    """Both take the batch, or both refuse it and stay as they are."""
    after = model.copy()
    if all(after.take(change) for change in changes):
        return changed(content, changes), after
    with pytest.raises(GalleryError):
        changed(content, changes)
    return content, model


@pytest.mark.parametrize("cheap", [200_000_000, 0], ids=["scores anew", "scores of what changed"])
def test_two_thousand_random_batches_in_memory(monkeypatch: pytest.MonkeyPatch, cheap: int) -> None:
    """With `CHEAP` at 0 only what changed is scored again; it comes to the same."""
    monkeypatch.setattr("facings.runtime.gallery_content.CHEAP", cheap)
    rng = np.random.default_rng(1)
    content, model = first(rng)
    for number in range(1000):
        content, model = step(content, model, random_changes(rng))
        if number % 10 == 0:
            agree(content, model)
            again = non_mated_scores(
                content.calibration_vectors.array, content.calibration_items, content.active_vectors,
                content.active_owner, content.active_items,
            )  # fmt: skip
            np.testing.assert_allclose(content.calibration_scores.array, again, atol=1e-6)


def on_disk(folder: Path, count: int, seed: int) -> None:
    """Random commits, reopened, sometimes rolled back to a version that the model remembers."""
    rng = np.random.default_rng(seed)
    _, model = first(rng)
    gallery = Gallery.create(
        folder, embedder_sha256="a" * 64, vectors=np.concatenate(list(model.views.values())), item=np.array([0, 0, 1, 1]),
        items=list(model.views), calibration_vectors=unit_rows(rng, 6, DIMENSION), calibration_items=["p0", None] * 3,
    )  # fmt: skip
    remembered = {gallery.version: model}
    for number in range(count):
        if number % 20 == 19:
            version = sorted(remembered)[rng.integers(len(remembered))]
            gallery, model = gallery.rollback(version), remembered[version]
        else:
            changes = random_changes(rng)
            after = model.copy()
            if all(after.take(change) for change in changes):
                gallery, model = gallery.apply(changes, reason=f"step {number}"), after
            else:
                before = gallery.version
                with pytest.raises(GalleryError):
                    gallery.apply(changes, reason="refused")
                gallery = Gallery.open(folder)
                assert gallery.version == before
        remembered[gallery.version] = model
        if number % 25 == 0:
            gallery = Gallery.open(folder, embedder_sha256="a" * 64)
            agree(gallery.content, model)
    assert len(gallery.content.segments) <= 2 * np.log2(len(gallery.content.owner.array) + 2)
    for version in sorted(remembered)[:: max(len(remembered) // 10, 1)]:
        agree(Gallery.open(folder, version=version).content, remembered[version])


def test_random_commits_on_disk(tmp_path: Path) -> None:
    on_disk(tmp_path / "gallery", 120, seed=2)


@pytest.mark.slow
def test_ten_thousand_random_operations_on_disk(tmp_path: Path) -> None:
    on_disk(tmp_path / "gallery", 10_000, seed=3)
