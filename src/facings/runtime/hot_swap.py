"""Another bundle or gallery version while frames come in: made ready beside, then switched to between two frames.

A frame is answered by one bundle and one gallery version from its beginning to its end. What cannot be loaded or gives other
answers than its golden samples is refused, and the old goes on. Knows nothing of pictures.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from facings.errors import BundleError, ConfigError, FacingsError
from facings.runtime.bundle import Bundle
from facings.runtime.gallery import gallery_folder
from facings.runtime.gallery_files import read_pointer
from facings.runtime.recognizer import FrameResult, Recognizer
from facings.runtime.verify import golden_checks

Load = Callable[[Path], Recognizer]


def load(path: Path) -> Recognizer:
    """The bundle with its own settings, every byte of it checked."""
    return Recognizer(Bundle.open(path))


@dataclass
class _Networks:
    """Those of one bundle: how many frames use them, and whether none is to come."""

    users: int = 0
    retired: bool = False


class HotSwap:
    """Holds the recogniser in force. All methods may be called from several threads at once.

    `load`: path of a bundle → its recogniser, where threads, tiles or a prior are chosen; `golden`: whether a bundle has to
    repeat its golden samples before it is taken, the first one too.

    Two bundles are in memory while one is made ready and until the last frame of the old one has ended.
    """

    def __init__(self, path: Path | str, *, load: Load = load, golden: bool = True) -> None:
        self._load, self._golden = load, golden
        self._lock = threading.Lock()
        # One change at a time: a gallery that is renewed meanwhile must not bring an old bundle back.
        self._changing = threading.RLock()
        self._recognizer: Recognizer | None = self._ready(Path(path))
        self._networks = _Networks()
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None
        self.fault: Exception | None = None

    @contextmanager
    def use(self) -> Iterator[Recognizer]:
        """The recogniser in force, for one frame: it stays usable until the block ends, whatever is switched to meanwhile.

        Raises BundleError once this holder is closed.
        """
        with self._lock:
            recognizer, networks = self._current(), self._networks
            networks.users += 1
        try:
            yield recognizer
        finally:
            with self._lock:
                networks.users -= 1
                last = networks.retired and not networks.users
            if last:
                recognizer.close()

    def run(self, image: NDArray[np.uint8]) -> FrameResult:
        """`image` (H, W, 3) uint8 RGB, by the recogniser in force."""
        with self.use() as recognizer:
            return recognizer.run(image)

    def swap(self, path: Path | str) -> None:
        """Load another bundle, check it, run it warm, then switch to it. Returns after the switch.

        Raises BundleError, GalleryError or ConfigError for one that is refused; the old one is then still in force.
        """
        with self._changing:
            fresh = self._ready(Path(path))
            with self._lock:
                closed = self._recognizer is None
                if not closed:
                    old, networks = self._recognizer, self._networks
                    self._recognizer, self._networks = fresh, _Networks()
                    networks.retired = True
                    unused = not networks.users
            if closed:
                fresh.close()
                raise BundleError(f"{path}: the holder was closed meanwhile")
            if unused and old is not None:
                old.close()

    def renew(self) -> bool:
        """Switch to the gallery version that the bundle's pointer names. False when it is in force already.

        Raises GalleryError for a version that is damaged, or of another embedder; the old one is then still in force.
        """
        with self._changing:
            with self._lock:
                current = self._current()
            if not _outdated(current):
                return False
            fresh = current.renewed()
            with self._lock:
                if self._recognizer is current:
                    self._recognizer = fresh
            return True

    def watch(self, every: float = 1.0) -> None:
        """Look for a new gallery version every so many seconds, in a thread of its own, until `close`.

        A version that is refused is kept in `fault`, and tried again; None once all is well. Raises ConfigError for no time at
        all, or when there is a watch already.
        """
        if not every > 0:
            raise ConfigError(f"every is {every}; expected more than 0 seconds")
        with self._lock:
            self._current()
            if self._watcher is not None:
                raise ConfigError("the gallery is watched already")
            self._watcher = threading.Thread(target=self._watch, args=(every,), name="facings gallery", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Take no more frames; those under way end, and the last one lets the memory go. A second call does nothing."""
        self._stop.set()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join()
        with self._lock:
            old, self._recognizer = self._recognizer, None
            self._networks.retired = True
            unused = not self._networks.users
        if unused and old is not None:
            old.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _current(self) -> Recognizer:
        if self._recognizer is None:
            raise BundleError("this holder of a bundle is closed; make another HotSwap")
        return self._recognizer

    def _ready(self, path: Path) -> Recognizer:
        fresh = self._load(path)
        try:
            if self._golden:
                faults = [f"{c.name}: {c.detail}" for c in golden_checks(fresh.as_exported()) if not c.passed]
                if faults:
                    raise BundleError(f"{path}: not taken: {'; '.join(faults)}")
            fresh.warm_up()
        except BaseException:
            fresh.close()
            raise
        return fresh

    def _watch(self, every: float) -> None:
        while not self._stop.wait(every):
            try:
                self.renew()
                self.fault = None
            except (FacingsError, OSError) as fault:
                self.fault = fault


def _outdated(recognizer: Recognizer) -> bool:
    folder, gallery = gallery_folder(recognizer.bundle.path), recognizer.gallery
    if not recognizer.bundle.has("embedder"):
        return False
    if gallery is None:
        return (folder / "CURRENT").is_file()
    return read_pointer(folder) != (gallery.version, gallery.digest)
