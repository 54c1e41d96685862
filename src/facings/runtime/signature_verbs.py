"""`facings keygen` and `facings sign`: options in, one sentence out."""

import argparse
import sys
from pathlib import Path

from facings.runtime.bundle import Bundle
from facings.runtime.parsing import Parser
from facings.runtime.signature import PrivateKey, keygen, sign


def keygen_parser() -> Parser:
    parser = Parser(
        "facings keygen", description="Make a key to sign bundles with: KEY, and KEY.pub for the shops.", bundle=False
    )
    parser.add_argument("key", type=Path, metavar="KEY", help="where the private key goes; it must not exist")
    return parser


def run_keygen(options: argparse.Namespace) -> int:
    """Both files, and the fingerprint that people compare."""
    public = keygen(options.key)
    sys.stdout.write(
        f"{options.key}: private, keep it where bundles are made; {options.key}.pub goes to the shops: key {public.fingerprint}\n"
    )
    return 0


def sign_parser() -> Parser:
    parser = Parser("facings sign", description="Sign a bundle, after checking every byte of it.")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="private key, from `facings keygen`")
    return parser


def run_sign(options: argparse.Namespace) -> int:
    """Write signature.json."""
    key = PrivateKey.read(options.key)
    bundle = Bundle.open(options.bundle)
    signature = sign(bundle.path, key)
    gallery = f"gallery version {signature.gallery[0]}" if signature.gallery else "no gallery"
    sys.stdout.write(f"{bundle.path}: signed by the key {signature.key.fingerprint}, with {gallery}\n")
    return 0
