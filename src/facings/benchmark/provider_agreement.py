"""Does a provider answer as ONNX Runtime's CPU provider? By a bundle's networks, on real pictures.

Knows nothing of times. Boxes are compared between twins: among near-equal scores the order may differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.benchmark.providers import CPU, open_graph, reason, share_taken
from facings.runtime.bundle import NETWORKS, Bundle
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer
from facings.runtime.verify import OF_BOXES, RELEVANT, largest_difference

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ProviderAgreement:
    """One network by one provider beside the CPU provider. `taken` (0–1): the share of the nodes that it runs itself;
    `differences`: output → the largest absolute difference (boxes in pixels of the input); `compared`: detections that a decision
    could see, or crops; `lost`: those of them without any twin of their class; `failed`: why there is nothing to tell, or None."""

    network: str
    provider: str
    taken: float
    differences: dict[str, float]
    compared: int
    lost: int
    failed: str | None = None


def provider_agreements(
    bundle: Bundle, pictures: Sequence[Path], providers: Sequence[str], *, threads: int
) -> list[ProviderAgreement]:
    """One entry a network and provider; none for the CPU provider itself."""
    others = [name for name in providers if name != CPU]
    if not others:
        return []
    recognizer = Recognizer(bundle, threads=threads)
    stages = [recognizer.stages(read_image(path)) for path in pictures]
    least = bundle.postprocess.score_threshold * RELEVANT
    return [
        _agreement(bundle, role, name, stages, least, threads)
        for role in NETWORKS
        if bundle.has(role)
        for name in others
    ]


def _agreement(
    bundle: Bundle, role: str, provider: str, stages: Sequence[Outputs], least: float, threads: int
) -> ProviderAgreement:
    asked = {"detector": "pixels", "embedder": "crops"}[role]
    ours = [stage for stage in stages if asked in stage]
    path = bundle.graph_path(role)
    if not ours:
        return ProviderAgreement(role, provider, 0.0, {}, 0, 0, "nothing was found to ask it about")
    try:
        graph = open_graph(path, provider, threads=threads)
        taken = share_taken(path, provider, {graph.port: ours[0][asked]})
        theirs = [graph.run({graph.port: stage[asked]}) for stage in ours]
    except Exception as fault:  # each provider raises its own classes, which share no base but Exception
        return ProviderAgreement(role, provider, 0.0, {}, 0, 0, reason(fault))
    if role == "embedder":
        gaps = [largest_difference(a["embeddings"], b["embeddings"]) for a, b in zip(ours, theirs, strict=True)]
        count = sum(len(stage["embeddings"]) for stage in ours)
        return ProviderAgreement(role, provider, taken, {"embeddings": max(gaps)}, count, 0)
    found = [twin_differences(a, b, least=least) for a, b in zip(ours, theirs, strict=True)]
    names = found[0][0]
    worst = {name: max(differences[name] for differences, _, _ in found) for name in names}
    counts = np.array([(compared, lost) for _, compared, lost in found]).sum(axis=0).tolist()
    return ProviderAgreement(role, provider, taken, worst, counts[0], counts[1])


def twin_differences(ours: Outputs, theirs: Outputs, *, least: float) -> tuple[dict[str, float], int, int]:
    """Of one picture: output → largest difference, the detections of `ours` that score `least` or more, and those without a twin.

    A detection's twin is the one of its class whose farthest corner is nearest; each serves once, the surest chooses first.

    By hand: two boxes in the other order, one moved by half a pixel.

    >>> ours = {"boxes": np.array([[[0, 0, 9, 9], [20, 0, 29, 9.0]]]), "scores": np.array([[0.8, 0.7]]), "labels": np.zeros((1, 2))}
    >>> theirs = {"boxes": ours["boxes"][:, ::-1] + 0.5, "scores": np.array([[0.75, 0.75]]), "labels": np.zeros((1, 2))}
    >>> differences, compared, lost = twin_differences(ours, theirs, least=0.3)
    >>> {name: round(value, 6) for name, value in differences.items()}, compared, lost
    ({'boxes': 0.5, 'scores': 0.05}, 2, 0)
    """
    names = ["boxes", "scores", *(name for name in OF_BOXES if name in ours)]
    worst = dict.fromkeys(names, 0.0)
    relevant = np.flatnonzero(ours["scores"][0] >= least)
    free = np.ones(len(theirs["scores"][0]), bool)
    lost = 0
    for number in relevant.tolist():
        apart = np.abs(theirs["boxes"][0] - ours["boxes"][0][number]).max(axis=1)
        able = np.flatnonzero(free & (theirs["labels"][0] == ours["labels"][0][number]))
        if not len(able):
            lost += 1
            continue
        twin = able[apart[able].argmin()]
        free[twin] = False
        for name in names:
            worst[name] = max(worst[name], largest_difference(ours[name][0][number], theirs[name][0][twin]))
    if "prototypes" in ours:
        worst["prototypes"] = largest_difference(ours["prototypes"], theirs["prototypes"])
    return worst, len(relevant), lost
