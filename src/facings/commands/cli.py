"""`facings VERB …`: one console command whose verbs load their room only when called.

Verbs for training take Hydra overrides; verbs for the store are argparse and torch-free, handled by the runtime.
"""

import sys
from collections.abc import Sequence

from facings import __version__
from facings.errors import FacingsError
from facings.suggestions import nearest

HYDRA_VERBS = {
    "prepare": "turn a public dataset or your own files into tables: facings prepare dataset=NAME source=FOLDER",
    "synthesize": "make shelf scenes with packaged goods and produce, and their truth",
    "train": "fit a detector or an embedder: facings train experiment=detection/quickstart",
    "evaluate": "accuracy of a checkpoint or a bundle",
    "inspect": "curves, worst and best pictures of a finished run of a detector",
    "analyze": "which errors of a finished run cost most, where products are lost, labels that look wrong",
    "export": "checkpoints to a verified ONNX bundle; `export triton BUNDLE FOLDER` for Triton Inference Server",
    "benchmark": "accuracy and latency of a bundle through the runtime, as JSON, table and HTML page",
}
DATA_VERBS = {"data": "check, browse, augment, export a dataset: facings data check NAME"}
COMPARE = {"compare": "finished runs on the same pictures: table, Pareto plot, and whether one beats another"}
RUNTIME_VERBS = {
    "predict": "recognise the products in pictures",
    "stream": "recognise the frames of a camera that stands still, at the cost of what changed",
    "enroll": "add a product to a bundle's gallery from a few photos",
    "remove": "take a product out of a bundle's gallery",
    "words": "read what stands on packs, so that predict --read-text can choose by it",
    "gallery": "versions of a bundle's gallery: log, diff, rollback, retire, restore, check, prune",
    "verify": "check a bundle: checksums, schema, operators, golden samples, signature",
    "sign": "sign a bundle, so that shops can refuse any other",
    "keygen": "make a key to sign bundles with",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0 done, 1 the verb's check failed, 2 wrong use, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(overview())
        return 0
    if words[0] in ("-V", "--version", "version"):
        sys.stdout.write(f"facings {__version__}\n")
        return 0
    verb, rest = words[0], words[1:]
    try:
        if verb in RUNTIME_VERBS:
            from facings.runtime.cli import main as runtime_main

            return runtime_main([verb, *rest])
        if verb == "export" and rest[:1] == ["triton"]:
            from facings.commands.triton import main as triton_main

            return triton_main(rest[1:])
        if verb in HYDRA_VERBS:
            return _run_hydra_verb(verb, rest)
        if verb in DATA_VERBS:
            return _run_data_verb(rest)
        if verb in COMPARE:
            return _run_compare(rest)
        near = nearest(verb, [*HYDRA_VERBS, *DATA_VERBS, *COMPARE, *RUNTIME_VERBS])
        raise FacingsError(f"unknown verb {verb!r}{near}; `facings --help` lists them all")
    except FacingsError as fault:
        sys.stderr.write(f"facings {verb}: {fault}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"facings {verb}: interrupted\n")
        return 130


def overview() -> str:
    """The text of `facings --help`."""
    lines = [f"facings {__version__}: product recognition for shelf cameras", "", "usage: facings VERB …", ""]
    lines += ["research (Hydra overrides, KEY=VALUE):"]
    lines += [f"  {verb:<12}{text}" for verb, text in HYDRA_VERBS.items()]
    lines += ["", "datasets:", *(f"  {verb:<12}{text}" for verb, text in DATA_VERBS.items())]
    lines += ["", "runs:", *(f"  {verb:<12}{text}" for verb, text in COMPARE.items())]
    lines += ["", "store (no torch needed):"]
    lines += [f"  {verb:<12}{text}" for verb, text in RUNTIME_VERBS.items()]
    lines += ["", "`facings VERB --help` explains a verb."]
    return "\n".join(lines) + "\n"


def _run_hydra_verb(verb: str, words: list[str]) -> int:
    try:
        from facings.commands.application import run_verb
    except ModuleNotFoundError as fault:
        if fault.name and fault.name.split(".")[0] == "facings":
            raise
        raise FacingsError(f"{verb} needs the package {fault.name!r}: pip install 'facings[train]'") from fault
    return run_verb(verb, words, HYDRA_VERBS[verb])


def _run_compare(words: list[str]) -> int:
    try:
        from facings.commands.compare import main as compare_main
    except ModuleNotFoundError as fault:
        if fault.name and fault.name.split(".")[0] == "facings":
            raise
        raise FacingsError(f"compare needs the package {fault.name!r}: pip install 'facings[train]'") from fault
    return compare_main(words)


def _run_data_verb(words: list[str]) -> int:
    try:
        from facings.commands.data import main as data_main
    except ModuleNotFoundError as fault:
        if fault.name and fault.name.split(".")[0] == "facings":
            raise
        raise FacingsError(f"data needs the package {fault.name!r}: pip install 'facings[train]'") from fault
    return data_main(words)


if __name__ == "__main__":
    sys.exit(main())
