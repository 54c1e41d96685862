"""What to do next, out of what was found: sentences for the end of a notebook. Knows nothing of how anything was found."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from facings.analysis.findings import Finding

SEVERITIES = ("error", "warning", "note")
# A rate that is off by more than this share of itself wants a look; less may be chance on some hundred queries.
OFF = 0.5
# Of a frame's time: a stage that takes more than this is worth working at first.
DEAREST = 0.5
# p99 above so many medians: some frames wait for something.
SLOW_TAIL = 2.5
# As in `facings benchmark`: above this share of the processor taken by others a time is not to be quoted.
DISTURBED = 0.1
# Planted faults found below this share: a list of suspicious labels is then little better than looking at random ones.
TRUSTED = 0.3
# What `facings analyze` writes as files stands on another page of the notebooks, or above.
ELSEWHERE = {"label_faults.jpg": "08_label_faults", "slices.png": "the bars above"}
LABEL_ADVICE = {
    "not labelled": "Each counts as a false alarm in every figure: add the labels, or mark the region as a crowd.",
    "other class": "Correct the class in the annotations, or agree on what the two classes are.",
    "loose box": "Compare the two boxes: where the label is the loose one, draw it again; it caps AP at high IoU.",
    "nothing there": "Take these labels out, or find out what the detector is blind to: both look the same here.",
}


def steps_as_markdown(findings: Sequence[Finding]) -> str:
    """A numbered list.

    >>> steps_as_markdown([Finding("a", 1.0, 2, "two errors", "Mend them.")])
    '1. **two errors.** Mend them.'
    """
    if not findings:
        return "Nothing stands out. Look at more data, or at another camera, before you believe it."
    text = "\n".join(f"{place}. **{f.text}.** {f.advice}".rstrip() for place, f in enumerate(findings, start=1))
    for file, page in ELSEWHERE.items():
        text = text.replace(file, page)
    return text


def steps_of_dataset(kinds: Mapping[str, Mapping[str, Any]], *, most: int = 5) -> list[Finding]:
    """Of the faults of a set (`kinds` of `Examination.record`): errors first, then what is most frequent.

    >>> kinds = {"a": {"count": 9, "severity": "note", "title": "Dark", "advice": "-"}}
    >>> kinds["b"] = {"count": 1, "severity": "error", "title": "Twice", "advice": "-"}
    >>> [(finding.name, finding.text) for finding in steps_of_dataset(kinds)]
    [('b', 'Twice: 1 (error)'), ('a', 'Dark: 9 (note)')]
    """
    ranked = sorted(kinds, key=lambda k: (SEVERITIES.index(kinds[k]["severity"]), -kinds[k]["count"], k))
    return [
        Finding(
            code,
            float(own["count"]),
            int(own["count"]),
            f"{own['title']}: {own['count']} ({own['severity']})",
            own["advice"],
        )
        for code in ranked[:most]
        for own in (kinds[code],)
    ]


def steps_of_masks(box_ap: float, mask_ap: float, lost: int, found: int, *, has_masks: bool) -> list[Finding]:
    """`box_ap`, `mask_ap`: 0–1 at IoU 0.5; `lost`: of `found` detections that fit as boxes, those that do not as masks."""
    if not found:
        return [
            Finding("nothing found", 0, 0, "No box fits an object", "Look at the detector first: 02_detection_errors.")
        ]
    gap = box_ap - mask_ap
    text = (
        f"AP of masks at IoU 0.5 lies {100 * gap:.1f} points below that of boxes; {lost} of {found} boxes that fit hold an "
        "outline that does not"
    )
    if not has_masks:
        return [
            Finding(
                "no masks",
                gap,
                lost,
                f"This detector has no masks. With each box taken as its outline: {text}",
                "Train with masks (model.prototypes=32) if crops of round goods matter; for upright packages a box is nearly the "
                "outline already.",
            )
        ]
    if gap > 0.02 or lost / found > 0.05:
        advice = (
            "Train longer or at a larger input; look at the classes first in the table, and at the smallest objects."
        )
        return [Finding("outlines", gap, lost, text, advice)]
    advice = "The outlines are not what costs: look for what is missed or doubled in 02_detection_errors."
    return [Finding("outlines", gap, lost, text, advice)]


def steps_of_open_set(now: Mapping[str, float], asked: float, queries: int) -> list[Finding]:
    """`now`: shares at the threshold in force (`OpenSetScores.at`); `asked`: the false-accept rate that was chosen."""
    steps = []
    reached = now["false_accept"]
    if np.isfinite(reached):
        text = f"Of goods that are not enrolled {reached:.1%} are taken for one that is; {asked:.1%} was asked for"
        if reached > asked * (1 + OFF):
            advice = "The calibration crops are unlike these goods: export again with the shop's own crops as calibration.table."
        elif reached < asked * (1 - OFF):
            advice = "Stricter than it must be: calibrate with crops like these, and fewer enrolled goods are refused."
        else:
            advice = "The rate holds as far as these queries tell."
        steps.append(Finding("false accept", reached, round(reached * queries), text, advice))
    for name, text, advice in (
        (
            "refused",
            "enrolled goods are not trusted",
            "Export the bundle with a standard, if it has none; enroll views from the shop's own cameras, or choose a looser "
            "error rate.",
        ),
        (
            "wrong",
            "enrolled goods get another's name",
            "Look at the pairs in 04_recognition_errors; enroll more views of both.",
        ),
    ):
        if now[name] > 0:
            steps.append(Finding(name, now[name], round(now[name] * queries), f"{now[name]:.1%} of {text}", advice))
    return steps


def steps_of_turnover(figures: Mapping[str, Mapping[str, float]], asked: float) -> Finding:
    """`figures`: means over the days, of `benchmark.turnover.summarise`: the standard's rate beside a fixed threshold's."""
    moved, fixed = figures["false_accept"]["value"], figures["fixed_false_accept"]["value"]
    text = (
        f"While goods change, the standard lets {moved:.1%} of unknown goods pass, a fixed threshold {fixed:.1%}; "
        f"{asked:.1%} was asked for"
    )
    held = abs(moved - asked) <= abs(fixed - asked)
    advice = (
        "Export the bundle with standard={false_accept: …}: it is calibrated anew at each commit of the gallery."
        if held
        else "On so few products the standard is no nearer than the fixed threshold: store crops of more products for calibration."
    )
    return Finding("turnover", moved, 0, text, advice)


def steps_of_drift(p_value: float, statistics: Sequence[Any], *, level: float = 0.01) -> Finding:
    """`p_value`: of `embedding_drift`; `statistics`: of `statistics_drift`."""
    changed = [entry for entry in statistics if entry.p_value < level]
    if p_value >= level and not changed:
        text = f"The two halves of the pictures look alike (embeddings: p = {p_value:.2f})"
        return Finding("drift", p_value, 0, text, "Ask again with two weeks of one camera; the same two calls do it.")
    names = ", ".join(f"{e.name} {e.before:.3g} → {e.after:.3g}" for e in changed) or "no plain statistic shows it"
    text = f"The two halves of the pictures differ (embeddings: p = {p_value:.3f}; {names})"
    advice = "If both are one camera's: clean the lens, look at the light. The rates above are not promised for the second half."
    return Finding("drift", p_value, len(changed), text, advice)


def steps_of_latency(latency: Mapping[str, Any], fixed: float, each: float, *, others: float = 0.0) -> list[Finding]:
    """`latency`: of benchmark.json; `fixed`, `each`: ms of an empty frame and of each product, nan where not known; `others`: 0–1,
    what other programs took while these two were measured."""
    stages, steps = latency["stages"], []
    total = stages["total"]
    shares = {name: own["p50"] / total["p50"] for name, own in stages.items() if name not in ("total", "decode")}
    name = max(shares, key=lambda key: shares[key])
    ways = {
        "embed": "Fewer or smaller crops help most: a smaller image_size, an int8 sibling, or streaming (docs/streaming.md), "
        "which does not embed again what did not change.",
        "detect": "A smaller image_size or model, or the int8 sibling of the detector, helps most.",
        "preprocess": "Let the camera give smaller pictures.",
        "match": "Past 10,000 views install facings[search].",
    }
    word = "half or more" if shares[name] >= DEAREST else "the largest part"
    steps.append(
        Finding(
            name, stages[name]["p50"], 0, f"`{name}` takes {word} of a frame ({shares[name]:.0%})", ways.get(name, "")
        )
    )
    if np.isfinite(each) and each > 0:
        text = f"Each product takes {each:.2f} ms" + (f", an empty frame {fixed:.0f} ms" if fixed > 0 else "")
        advice = f"Within a second one frame of {max(0, int((1000 - fixed) / each))} products fits on this machine."
        steps.append(Finding("products", each, 0, text, advice))
    if total["p99"] > SLOW_TAIL * total["p50"]:
        text = f"One frame in a hundred takes {total['p99'] / total['p50']:.1f} times the median"
        steps.append(
            Finding(
                "tail", total["p99"], 0, text, "See whether those are the crowded frames; else look for other programs."
            )
        )
    for share, when in ((latency["other_cpu_share"], "while the run was timed"), (others, "while this page was timed")):
        if share > DISTURBED:
            text = f"Others took {share:.0%} of the processor {when}"
            steps.append(
                Finding("disturbed", 0, 0, text, "Measure again on a quiet machine before you quote any time.")
            )
    return steps


def steps_of_verdicts(verdicts: Sequence[Any], notes: Sequence[str]) -> list[Finding]:
    """Of `facings.benchmark.verdict`: what is shown first, then what must be known before believing it."""
    steps = []
    for verdict in sorted(verdicts, key=lambda v: (v.winner == "no difference shown", v.p)):
        d = verdict.difference
        interval = f"{d.value:+.4f}, 95 % {d.low:+.4f} to {d.high:+.4f}"
        text = f"{verdict.figure}: {verdict.second} is {verdict.winner} ({interval}, p = {verdict.p:.3f})"
        if verdict.winner == "no difference shown":
            text = f"{verdict.figure}: no difference to {verdict.second} shown ({interval})"
            advice = "Not the same as equal: the interval says how large a difference these pictures could have hidden."
        else:
            advice = "Take it if its cost allows." if verdict.winner == "better" else "Do not take it for this figure."
        steps.append(Finding(verdict.figure, d.value, 0, text, advice))
    steps += [Finding("note", 0, 0, note[0].upper() + note[1:].rstrip("."), "") for note in notes]
    return steps


def steps_of_label_faults(counts: Mapping[str, int], planted: Mapping[str, float]) -> list[Finding]:
    """`counts`: suspicions by kind; `planted`: of `planted_faults.planted_found`."""
    found, chance = planted["found"], planted["chance"]
    text = (
        f"Of {planted['planted']:.0f} faults that were planted, the first {planted['looked_at']:.0f} suspicions hold {found:.0%} "
        f"(by chance {chance:.0%})"
    )
    trusted = found >= TRUSTED and found > 2 * chance
    advice = (
        f"{found / chance:.0f} times better than looking at random: work through the list from the top."
        if trusted
        else "This detector is too unsure for the order to be relied on: train it longer, or on other folds, before you relabel."
    )
    steps = [Finding("planted", found, int(planted["planted"]), text, advice)]
    for name, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])):
        if count:
            steps.append(Finding(name, float(count), count, f"{name}: {count} places", LABEL_ADVICE[name]))
    return steps
