"""What each headline record claims, and the metrics it holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facings.benchmark.corruptions import CORRUPTIONS
from facings.benchmark.detector_baselines import METRICS as BASELINES
from facings.benchmark.detector_study import METRICS as STUDY
from facings.benchmark.embedder_ablation import METRICS as INGREDIENTS
from facings.benchmark.embedder_cost import METRICS as COST
from facings.benchmark.record import write_result
from facings.benchmark.synthetic_ablation import METRICS as ABLATION
from facings.errors import ConfigError

MS, MIN, MIB = "ms", "min", "MiB"
CLAIMS: dict[str, tuple[str, dict[str, str | None]]] = {
    "spine-quickstart": (
        "One command makes synthetic data, trains detector and embedder, and exports a verified bundle; accuracy and "
        "latency are the bundle's, on synthetic validation scenes through the store runtime.",
        {
            "detection_ap50": None,
            "reid_r1": None,
            "end_to_end_accuracy": None,
            "frame_ms_p50": MS,
            "bundle_mib": MIB,
            "minutes": MIN,
        },
    ),
    "spine-grocery": (
        "Trained on the Grocery Store Dataset's train split on two cores, the embedder classifies its test split by "
        "the nearest mean of the training photos.",
        {"fine_top1": None, "coarse_top1": None, "minutes": MIN},
    ),
    "spine-snack": (
        "Trained on 11 frames of snack shelves on two cores, the class-agnostic detector finds the products of the 6 "
        "validation frames.",
        {"ap50": None, "ap": None, "minutes": MIN},
    ),
    "spine-snack-bundle": (
        "The bundle of the snack-shelf detector and the Grocery Store embedder, whose gallery is 49 packshots, on the "
        "6 validation frames through the store runtime.",
        {"end_to_end_f1": None, "identification_r1": None, "frame_ms_p50": MS},
    ),
    "det-ai231": (
        "Trained on the 693 photos of ai231 grocery masks from packaged ImageNet weights on two cores, the dense detector finds "
        "and outlines the 24 classes on its 153 validation photos better than torchvision's Mask R-CNN over the same backbone "
        "in the same time; both look at the photo and at tiles of it, with NMS, ours by its one-to-many branch; whole_: at the "
        "photo alone; one_to_one_: by the branch that needs no NMS.",
        {
            "box_ap": None,
            "mask_ap": None,
            "mask_rcnn_box_ap": None,
            "mask_rcnn_mask_ap": None,
            "whole_box_ap": None,
            "whole_mask_ap": None,
            "one_to_one_box_ap": None,
            "one_to_one_mask_ap": None,
            "minutes": MIN,
            "mask_rcnn_minutes": MIN,
        },
    ),
    "det-snack": (
        "Trained on 11 frames of snack shelves, the class-agnostic detector finds the products of the 6 validation frames "
        "without NMS; one_to_one_gap is the AP that the one-to-many branch with NMS has more.",
        {"ap50": None, "ap": None, "recall50": None, "one_to_one_gap": None},
    ),
    "det-produce": (
        "Masks of produce, each trained on its own train split and asked of its own test split: tomatoes in a greenhouse by size "
        "and ripeness (6 classes), web photos of apples, bananas and oranges, and dates, figs and hazelnuts.",
        {
            "laboro_mask_ap50": None,
            "fruits300_mask_ap50": None,
            "nuts_mask_ap50": None,
            "laboro_boundary_ap": None,
            "fruits300_boundary_ap": None,
            "nuts_boundary_ap": None,
        },
    ),
    "det-density": (
        "A detector trained on dense synthetic shelves finds the products of frames that hold about 100, 300 and 600 of them, "
        "and no frame reaches the cap of 1,000 detections.",
        {"ap50_100": None, "ap50_300": None, "ap50_600": None},
    ),
    "det-latency": (
        "Exported graphs at 640 px on ONNX Runtime, batch 1, on one thread and on two, the worse, interleaved in one run: the "
        "detectors' time as a share of YOLO26n's, what masks add to the small one, and the share of the machine's own "
        "matrix-product peak it reaches.",
        {"nano_over_yolo26n": None, "small_over_yolo26n": None, "mask_overhead": None, "share_of_peak": None},
    ),
    "det-study": (
        "Variants of the detector, each trained once and shortly on 11 frames of snack shelves, on the 6 validation frames: AP "
        "against the exported graph's time on one thread, all graphs timed in the same rounds.",
        STUDY,
    ),
    "det-baselines": (
        "The dense detector and six baselines, each trained once on the same pictures with the same augmentation over the same "
        "ImageNet backbone, and asked of the same test pictures. ms: one picture through torch on one thread, all in turn; "
        "ap_difference: AP minus the dense detector's, paired over pictures.",
        BASELINES,
    ),
    "synth-sim2real": (
        "Trained on synthetic shelves alone, the class-agnostic detector finds the products of all 17 real frames of snack "
        "shelves, of which it never saw one.",
        {"ap": None, "ap50": None, "minutes": MIN},
    ),
    "synth-ablation": (
        "The recipe of synth-sim2real at a tenth of its steps, and less one ingredient or with another seed, each drawn and "
        "trained anew: products found on all 17 real frames of snack shelves. _gain: AP50 minus the whole recipe's, paired over "
        "pictures.",
        ABLATION,
    ),
    "synth-pretrain": (
        "Trained on the 11 frames of snack shelves for equal steps, from the detector of synthetic shelves and from ImageNet: "
        "products found on the 6 validation frames.",
        {"ap50_from_synthetic": None, "ap50_from_imagenet": None},
    ),
    "synth-speed": (
        "Synthetic shelf scenes at 640 pixels with about 60 labelled products before calibrated cameras, whole (plan, picture, "
        "truth, JPEG), in a second of one core's own time; after 40 scenes, in which a process draws its goods for the first time.",
        {"scenes_per_second_per_core": "1/s"},
    ),
    "data-convert": (
        "1.7 million random rows in SKU-110K's format become COCO JSON on one core, read and written row by row; pictures are not "
        "asked, and the checksums of what was read and made are part of the time.",
        {"seconds": "s", "peak_mib": MIB},
    ),
    "data-doctor": (
        "In a copy of a sound synthetic set that is spoiled on purpose, one fault of each kind, the doctor finds every kind "
        "that was planted, and in the sound set itself none.",
        {"kinds_planted": None, "kinds_found": None, "false_alarms": None},
    ),
    "emb-grocery": (
        "Trained on the Grocery Store Dataset's train split and its iconic pictures, the embedder classifies its test split by the "
        "nearest mean of the training photos, embeddings averaged over twelve views: the photo, its corners, its centre, and their "
        "mirror images; _multicrop: not mirrored, _flip: over the photo and its mirror image, _one_view: the photo alone; _alone: "
        "the trained vectors without the frozen backbone's that they are joined with.",
        {"fine_top1": None, "coarse_top1": None, "minutes": MIN},
    ),
    "emb-packshot": (
        "Iconic packshots as the only gallery, Grocery Store's test photos as queries; iconic pictures and training photos "
        "were trained on, test photos not. frozen_: the ImageNet backbone's mean feature in the same run; _alone: the trained "
        "vectors without those that they are joined with.",
        {"r1": None, "r5": None, "frozen_r1": None, "frozen_r5": None},
    ),
    "emb-unseen": (
        "Goods that training never saw, enrolled from k photos beside 8 photos of each that it saw: R@1 of their test photos "
        "among all 81, over draws of 20 goods and of photos, by the likeliest product of the trained embedding joined with the "
        "whitened frozen one, averaged over twelve views of each photo; one_view_: by the photo alone, as what follows is. "
        "trained_: without the frozen one; frozen_: the ImageNet backbone's mean feature in the same run; nearest_: by "
        "the nearest view, as frozen_ is without likeliest_. seen_: test photos of the goods that were trained; "
        "_run_spread: between the best and the worst of the trainings, each of another draw of goods and another seed.",
        {f"{frozen}r1_k{k}": None for frozen in ("", "frozen_") for k in (1, 2, 4, 8)},
    ),
    "emb-snack": (
        "Snack shelves' val crops against packshots, and against train crops: R@1 of the crops whose product is in the gallery; "
        "_alone: by the trained vectors without the frozen backbone's that they are joined with.",
        {"r1_packshot": None, "r1_crops": None},
    ),
    "emb-text": (
        "The five products nearest to a crop by the picture, put in order by the words read on it: R@1 of snack shelves' val crops "
        "against packshots, and of Grocery Store's cartons (5 test photos each) against training photos; _names: the words of the "
        "products' names, _words: those read on packshots too; gain: paired; the weight of words is chosen on other crops.",
        {f"{where}_{what}": None for where in ("snack", "cartons") for what in ("r1", "r1_words", "gain_words")},
    ),
    "emb-ingredients": (
        "A short training of the small embedder on the Grocery Store Dataset, and the same with one thing different or another "
        "seed: its test photos classified by the nearest mean of the training photos, and the recipe's embeddings asked otherwise. "
        "_gain: products right minus the recipe's, paired over photos.",
        INGREDIENTS,
    ),
    "emb-cost": (
        "The exported embedder in int8 (static, per channel, calibrated on training crops) on one ONNX Runtime thread, beside "
        "frozen backbones at several sizes in the same rounds: milliseconds for one crop, and the points of R@1 it loses against "
        "float32, all test photos of the Grocery Store Dataset asked among its training photos, over products.",
        COST,
    ),
    "emb-scale": (
        "50,000 queries against 1,000,000 views of made-up vectors, read from a file on disk: the exact place of every right view "
        "(R@k, CMC, mAP, mAP@R) and the 100 nearest of each query; a random sample equals brute force.",
        {"peak_gib": "GiB", "minutes": MIN},
    ),
    "turn-speed": (
        "Enrolling a product from 8 photos beyond the embedding itself (95th percentile), a commit to a gallery of 100,000 "
        "views, and an exact search in it.",
        {"enroll8_p95_seconds": "s", "commit_seconds_1e5": "s", "search_ms_1e5": "ms"},
    ),
    "turn-standard": (
        "20 days with 30 % of the gallery replaced a day, 4 photos a product, no training and no tuning: how far the rate at which "
        "goods that are not enrolled are accepted lies from the chosen one, relative to it; the absolute difference of each shop's "
        "mean over its days, averaged over shops that draw their goods anew. Beside it a cosine threshold tuned on day 0.",
        {"relative_error": None, "fixed_threshold_relative_error": None},
    ),
    "turn-coverage": (
        'The same turnover with 8 photos a product, goods that are not enrolled among the queries: the truth, or "not enrolled", '
        "lies in the answer set; products in the set, and the right one among the first 3 candidates, of enrolled goods.",
        {"coverage": None, "set_size": None, "picklist3": None},
    ),
    "turn-backoff": (
        "Each answer at the deepest level of the category tree that can be vouched for: right at that level, where silence counts "
        "as right; leaf_share are answers with a product, silent_share those with nothing.",
        {"correct_at_level": None, "leaf_share": None, "correct_when_said": None, "silent_share": None},
    ),
    "bench-robustness": (
        "Pictures spoiled as a shelf camera's are, in 11 ways and 5 strengths each: what the bundle loses of its detector's AP50 "
        "and of the R@1 of crops cut at true boxes, relative to the same pictures unspoiled, in the mean over the strengths; "
        "mean: over all.",
        {f"{metric}_loss_{name}": None for metric in ("ap50", "r1") for name in (*CORRUPTIONS, "mean")},
    ),
    "bundle-frame": (
        "A bundle on frames of 1080p with 60 products, two threads: the whole frame through the store runtime, the share of it "
        "that is not in its graphs, run alone on the same inputs in the same rounds, and how many times as fast a stream is on a "
        "scene that stands still, noise aside. Beside it the peak memory of a fresh process on 12 megapixels with 500 products.",
        {"p50_ms": MS, "p95_ms": MS, "host_share": None, "streaming_speedup": None, "peak_mib_12mp_500": MIB},
    ),
    "bundle-int8": (
        "Detector and embedder in int8 beside float32, exported from checkpoints and made by the export's gate, all files of a "
        "network timed in the same rounds on one thread and on two, the worse; points of AP and R@1 that int8 loses on real data.",
        {"speedup_detector": None, "speedup_embedder": None, "ap_loss": None, "r1_loss": None},
    ),
    "bundle-install": (
        "The wheel alone, without extras, in a fresh environment that verifies a bundle and predicts with it: its site-packages, "
        "the import of the store's runtime in a fresh process, and the peak memory of `facings predict`.",
        {"mib": MIB, "import_seconds": "s", "peak_mib": MIB},
    ),
    "bundle-node": (
        "Golden pictures of a bundle on which the Node program decides as the store runtime does, answers and their order exactly, "
        "numbers within a step of their last decimals.",
        {"decision_agreement": None},
    ),
    "synth-reid": (
        "An embedder that saw synthetic products alone, asked for the product of all crops of snack shelves with the packshots as "
        "gallery; crops whose product has one. frozen_: ImageNet lite2's mean feature at 260 px, in the same run.",
        {"r1": None, "frozen_r1": None},
    ),
    "bundle-fuzz": (
        "Spoiled files, in turn for every parser of the store, with checksums made to fit: what came out that was neither an "
        "answer nor the documented error, or took more time or memory than one input may.",
        {"inputs": None, "undocumented": None},
    ),
    "bench-tide": (
        "TIDE's kinds of error, what AP would gain without each, and how many there are, on random pictures of boxes and of masks, "
        "beside the authors' own package: the largest difference.",
        {"max_abs_difference": None},
    ),
    "bench-analysis": (
        "The error analysis of 3,000 made-up pictures of 150 products each: TIDE, slices, suspected label errors, the stage that "
        "lost each product, confusions; memory is the whole process's, the data included.",
        {"minutes": MIN, "peak_gib": "GiB"},
    ),
    "det-metric-speed": (
        "The COCO figures of 500 pictures of 150 objects and 300 detections: how many times as fast as pycocotools, in one run, "
        "and how far the figures are apart.",
        {"speedup": None, "max_abs_difference": None},
    ),
}


def claim_of(identifier: str, *, available: Sequence[str]) -> tuple[str, list[str], dict[str, str]]:
    """The sentence, the metric names and their units of a record.

    Raises ConfigError for an unknown ID, or when a metric that it wants was not measured by this command.
    """
    if identifier not in CLAIMS:
        raise ConfigError(f"result={identifier!r}: unknown; known are {', '.join(CLAIMS)}")
    sentence, metrics = CLAIMS[identifier]
    missing = [name for name in metrics if name not in available]
    if missing:
        has = ", ".join(available)
        raise ConfigError(
            f"result={identifier!r} wants {missing[0]!r}, which this command does not measure; it has {has}"
        )
    return sentence, list(metrics), {name: unit for name, unit in metrics.items() if unit is not None}


def write_claim(
    identifier: str,
    metrics: Mapping[str, Mapping[str, Any]],
    *,
    command: str,
    data: Mapping[str, str],
    seeds: Sequence[int],
    commit: str | None,
    folder: Path = Path("results"),
    others: bool = False,
) -> Path:
    """Write a record with the claim's sentence, its metrics in their order and their units, and with `others` what else was
    measured; see `write_result`. Raises ConfigError as `claim_of` and `write_result`."""
    claim, names, units = claim_of(identifier, available=sorted(metrics))
    if others:
        names += [name for name in metrics if name not in names]
    of_claim = {name: {**metrics[name]} | ({"unit": units[name]} if name in units else {}) for name in names}
    return write_result(
        identifier, claim=claim, metrics=of_claim, command=command, data=data, seeds=seeds, commit=commit, folder=folder
    )
