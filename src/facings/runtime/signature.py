"""Who made a bundle: an optional Ed25519 signature over its checksums, and a mode in which one by a known key is required.

Knows nothing of what is signed. `signature.json` holds the sha256 of SHA256SUMS, which lists every file but the gallery's, and of
the manifest of the gallery version that was in force. Ed25519: Bernstein, Duif, Lange, Schwabe, Yang: "High-speed high-security
signatures", 2012; RFC 8032. Signing and checking need the package cryptography (`pip install 'facings[signing]'`).
"""

import base64
import binascii
import json
import os
import re
from dataclasses import dataclass, field
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Any

from facings.errors import BundleError, ConfigError
from facings.files import atomic_write, sha256
from facings.runtime.bundle_files import SIGNATURE, SUMS
from facings.runtime.gallery_files import VERSION, read_pointer
from facings.strict_json import parse

SCHEMA = "facings.signature/1"
FIELDS = ("schema", "sums", "gallery", "public_key", "signature", "checksum")
SIGNED = FIELDS[:3]
MAX_BYTES = 4096
HEX = {"sums": 64, "public_key": 64, "signature": 128, "checksum": 64}
# The 32 bytes of a key as RFC 8410 wraps them: the files are those that `openssl genpkey -algorithm ed25519` writes.
PRIVATE = ("PRIVATE KEY", bytes.fromhex("302e020100300506032b657004220420"))
PUBLIC = ("PUBLIC KEY", bytes.fromhex("302a300506032b6570032100"))


@dataclass(frozen=True)
class PublicKey:
    """32 bytes that anybody may know."""

    raw: bytes

    @property
    def fingerprint(self) -> str:
        """What a person compares: the first 16 hex digits of the key's sha256."""
        return sha256_of(self.raw).hexdigest()[:16]

    @classmethod
    def read(cls, path: Path | str) -> "PublicKey":
        """Raises ConfigError for a file that is no Ed25519 public key in PEM."""
        return cls(_read_pem(Path(path), *PUBLIC))


@dataclass(frozen=True)
class PrivateKey:
    """32 bytes that nobody else may know; never shown."""

    raw: bytes = field(repr=False)

    @property
    def public(self) -> PublicKey:
        return PublicKey(_ed25519().Ed25519PrivateKey.from_private_bytes(self.raw).public_key().public_bytes_raw())

    @classmethod
    def read(cls, path: Path | str) -> "PrivateKey":
        """Raises ConfigError for a file that is no Ed25519 private key in PEM, or one behind a passphrase."""
        return cls(_read_pem(Path(path), *PRIVATE))


@dataclass(frozen=True)
class Signature:
    """`sums`: sha256 of SHA256SUMS; `gallery`: version in force and sha256 of its manifest, None without a gallery."""

    sums: str
    gallery: tuple[str, str] | None
    key: PublicKey
    raw: bytes

    @property
    def statement(self) -> bytes:
        """The bytes that are signed."""
        gallery = None if self.gallery is None else dict(zip(("version", "sha256"), self.gallery, strict=True))
        return json.dumps({"schema": SCHEMA, "sums": self.sums, "gallery": gallery}).encode()

    def to_bytes(self) -> bytes:
        """The file. Its own checksum tells damage from a wrong signature, and where nobody asks for a signature."""
        content = json.loads(self.statement) | {"public_key": self.key.raw.hex(), "signature": self.raw.hex()}
        checksum = sha256_of(json.dumps(content).encode()).hexdigest()
        return json.dumps(content | {"checksum": checksum}).encode() + b"\n"

    def fits(self) -> bool:
        """Whether it was made of this statement by the holder of the private key."""
        module = _ed25519()
        from cryptography.exceptions import InvalidSignature

        try:
            module.Ed25519PublicKey.from_public_bytes(self.key.raw).verify(self.raw, self.statement)
        except (InvalidSignature, ValueError):
            return False
        return True


def read_signature(path: Path) -> Signature:
    """Raises BundleError for a file that is not, byte for byte, one that `sign` writes; whether it fits is not asked."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        data = path.read_bytes()
        content = parse(data)
        if not isinstance(content, dict) or tuple(content) != FIELDS or content["schema"] != SCHEMA:
            raise ValueError(f"expected {SCHEMA} with the fields {', '.join(FIELDS)}")
        for name, length in HEX.items():
            if not isinstance(content[name], str) or not re.fullmatch(rf"[0-9a-f]{{{length}}}", content[name]):
                raise ValueError(f"{name} is not {length} hex digits")
        gallery = _gallery(content["gallery"])
        key, raw = PublicKey(bytes.fromhex(content["public_key"])), bytes.fromhex(content["signature"])
        signature = Signature(content["sums"], gallery, key, raw)
        if signature.to_bytes() != data:
            raise ValueError("its own checksum is wrong")
    except ValueError as fault:
        raise BundleError(f"{path}: damaged, or no signature ({fault})") from fault
    return signature


def check_signature(folder: Path, required: PublicKey | Path | str | None, *, signed_gallery: bool = False) -> None:
    """Raise BundleError where a bundle's signature is damaged or of other checksums, and, with a key that is `required`, where
    there is none, it is by another key, or it does not fit. The caller checks that SHA256SUMS is true.

    `signed_gallery`: the gallery version in force must be the one that was signed. Raises ConfigError for a key that is none.
    """
    if signed_gallery and required is None:
        raise ConfigError("signed_gallery is about a required key: give require_key (--require-key PUB) too")
    key = required if required is None or isinstance(required, PublicKey) else PublicKey.read(required)
    path = folder / SIGNATURE
    if not path.is_file():
        if key is None:
            return
        raise BundleError(
            f"{folder}: is not signed (it holds no {SIGNATURE}), and a signature by the key {key.fingerprint} is required"
        )
    signature = read_signature(path)
    if not (folder / SUMS).is_file() or sha256(folder / SUMS) != signature.sums:
        raise BundleError(
            f"{path}: signs another SHA256SUMS than the bundle's: the bundle was changed after it was signed; if that was you, "
            f"remove {SIGNATURE} and sign again"
        )
    if key is None:
        return
    if signature.key != key:
        raise BundleError(f"{path}: is by the key {signature.key.fingerprint}; {key.fingerprint} is required")
    if not signature.fits():
        raise BundleError(f"{path}: the signature does not fit what it signs; it was forged")
    if signed_gallery and (found := _pointer(folder)) != signature.gallery:
        there, wanted = (entry[0] if entry else "none" for entry in (found, signature.gallery))
        raise BundleError(
            f"{folder / 'gallery'}: version {there} is in force, signed is {wanted} (or they differ in content); roll back, or "
            "sign again"
        )


def sign(folder: Path, key: PrivateKey) -> Signature:
    """Write `signature.json` into a bundle that the caller has checked; one that is there is replaced."""
    public = key.public
    bare = Signature(sha256(folder / SUMS), _pointer(folder), public, b"")
    raw = _ed25519().Ed25519PrivateKey.from_private_bytes(key.raw).sign(bare.statement)
    signature = Signature(bare.sums, bare.gallery, public, raw)
    atomic_write(folder / SIGNATURE, signature.to_bytes())
    return signature


def state(folder: Path, *, checked: bool) -> str | None:
    """What there is to say of a bundle's signature; None without one. `checked`: by `check_signature` with a key."""
    path = folder / SIGNATURE
    if not path.is_file():
        return None
    signature = read_signature(path)
    if not checked:
        return f"by the key {signature.key.fingerprint}, not checked: --require-key PUB does"
    found, signed = _pointer(folder), signature.gallery
    if found == signed:
        return (
            f"by the key {signature.key.fingerprint}, of all files, gallery version {signed[0] if signed else 'none'}"
        )
    there, wanted = (entry[0] if entry else "none" for entry in (found, signed))
    return f"by the key {signature.key.fingerprint}, of all but the gallery: version {there} is in force, signed is {wanted}"


def keygen(path: Path) -> PublicKey:
    """A new key: `path`, private, readable by its owner alone, and `path`.pub. Raises ConfigError where one of them exists."""
    public = path.with_name(path.name + ".pub")
    for taken in (path, public):
        if os.path.lexists(taken):
            raise ConfigError(f"{taken}: exists; a key is never overwritten: choose another name")
    key = PrivateKey(_ed25519().Ed25519PrivateKey.generate().private_bytes_raw())
    made = key.public
    atomic_write(path, _pem(key.raw, *PRIVATE), mode=0o600)
    atomic_write(public, _pem(made.raw, *PUBLIC))
    return made


def _gallery(value: Any) -> tuple[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or tuple(value) != ("version", "sha256"):
        raise ValueError("gallery is not version and sha256")
    version, digest = value["version"], value["sha256"]
    if not (isinstance(version, str) and isinstance(digest, str)):
        raise ValueError("gallery is not version and sha256")
    if not re.fullmatch(VERSION, version) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError("gallery is not version and sha256")
    return version, digest


def _pointer(folder: Path) -> tuple[str, str] | None:
    return read_pointer(folder / "gallery") if (folder / "gallery" / "CURRENT").is_file() else None


def _read_pem(path: Path, label: str, prefix: bytes) -> bytes:
    wanted = f"expected an Ed25519 {label.lower()} in PEM, as `facings keygen` writes it"
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror or 'cannot be read'}; {wanted}") from fault
    match = re.fullmatch(rf"\s*-----BEGIN {label}-----\s+([A-Za-z0-9+/=\s]+)-----END {label}-----\s*".encode(), data)
    if match is None:
        locked = " behind a passphrase, which is not read" if b"ENCRYPTED" in data else ""
        raise ConfigError(f"{path}: is no such key{locked}; {wanted}")
    try:
        wrapped = base64.b64decode(b"".join(match[1].split()), validate=True)
    except binascii.Error as fault:
        raise ConfigError(f"{path}: is damaged ({fault}); {wanted}") from fault
    if not wrapped.startswith(prefix) or len(wrapped) != len(prefix) + 32:
        raise ConfigError(f"{path}: is a key of another kind; {wanted}")
    return wrapped[len(prefix) :]


def _pem(raw: bytes, label: str, prefix: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.b64encode(prefix + raw).decode()}\n-----END {label}-----\n"


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as fault:
        raise ConfigError("signatures need the package cryptography: pip install 'facings[signing]'") from fault
    return ed25519
