"""Signed by a known key, by another, by nobody; and what a signature does not cover."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

from facings.benchmark.fuzz_specimen import KEY, make_specimen
from facings.errors import BundleError, ConfigError
from facings.files import sha256
from facings.runtime.bundle import Bundle
from facings.runtime.cli import main
from facings.runtime.signature import PrivateKey, PublicKey, keygen, read_signature, sign
from facings.runtime.verify import verify


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Not signed."""
    return make_specimen(tmp_path / "specimen-1", signed=False)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "lab"
    assert main(["keygen", str(path)]) == 0
    return path


def test_the_verbs_make_a_bundle_that_the_required_key_opens(
    bundle: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = key.with_name("lab.pub")
    assert main(["sign", str(bundle), "--key", str(key)]) == 0
    printed = capsys.readouterr().out
    assert PublicKey.read(public).fingerprint in printed and "gallery version 000002" in printed
    for required in (public, str(public), PublicKey.read(public)):
        assert Bundle.open(bundle, require_key=required, signed_gallery=True).name == "specimen-1"
    assert Bundle.open(bundle).name == "specimen-1", "who asks for no key needs none"
    said = {check.name: check for check in verify(bundle, require_key=public)}
    assert said["signature"].passed and "of all files, gallery version 000002" in said["signature"].detail
    said = {check.name: check for check in verify(bundle)}
    assert "not checked" in said["signature"].detail


def test_keys_are_those_of_openssl_and_nobody_elses_to_read(key: Path) -> None:
    """Second reader: the package cryptography reads both files, and gets the same 32 bytes."""
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    public = serialization.load_pem_public_key(key.with_name("lab.pub").read_bytes())
    assert isinstance(private, ed25519.Ed25519PrivateKey) and isinstance(public, ed25519.Ed25519PublicKey)
    assert private.private_bytes_raw() == PrivateKey.read(key).raw
    assert private.public_key() == public and public.public_bytes_raw() == PublicKey.read(key.with_name("lab.pub")).raw
    assert key.read_bytes() == private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert PrivateKey.read(key).raw.hex() not in repr(PrivateKey.read(key))
    assert sorted(path.name for path in key.parent.iterdir()) == ["lab", "lab.pub"]


def test_a_key_is_never_overwritten(key: Path) -> None:
    before = key.read_bytes()
    with pytest.raises(ConfigError, match="never overwritten"):
        keygen(key)
    key.unlink()
    with pytest.raises(ConfigError, match=r"lab\.pub: exists"):
        keygen(key)
    assert len(before) > 100 and not key.exists()


def test_the_signature_is_one_of_the_statement(bundle: Path) -> None:
    """Second formula: the statement put together by hand, checked by the package itself."""
    sign(bundle, KEY)
    content = json.loads((bundle / "signature.json").read_text())
    pointer = dict(zip(("version", "sha256"), (bundle / "gallery" / "CURRENT").read_text().split(), strict=True))
    statement = {"schema": "facings.signature/1", "sums": sha256(bundle / "SHA256SUMS"), "gallery": pointer}
    raw = bytes.fromhex(content["public_key"])
    ed25519.Ed25519PublicKey.from_public_bytes(raw).verify(
        bytes.fromhex(content["signature"]), json.dumps(statement).encode()
    )


def test_not_signed_and_signed_by_another(bundle: Path, key: Path) -> None:
    public = key.with_name("lab.pub")
    with pytest.raises(BundleError, match=r"is not signed \(it holds no signature\.json\)"):
        Bundle.open(bundle, require_key=public)
    sign(bundle, KEY)
    with pytest.raises(
        BundleError, match=f"by the key {KEY.public.fingerprint}; {PublicKey.read(public).fingerprint} is required"
    ):
        Bundle.open(bundle, require_key=public)
    assert main(["verify", str(bundle), "--require-key", str(public)]) == 1


def test_a_forged_signature(bundle: Path, key: Path) -> None:
    """The known key's name on another's signature, with the file's own checksum made to fit."""
    theirs = sign(bundle, PrivateKey.read(key))
    forged = type(theirs)(theirs.sums, theirs.gallery, KEY.public, theirs.raw)
    (bundle / "signature.json").write_bytes(forged.to_bytes())
    with pytest.raises(BundleError, match="does not fit what it signs"):
        Bundle.open(bundle, require_key=KEY.public)


def test_a_bundle_that_was_changed_and_sealed_again(bundle: Path) -> None:
    sign(bundle, KEY)
    card = bundle / "MODEL_CARD.md"
    before = sha256(card)
    card.write_text("Another.\n")
    sums, manifest = bundle / "SHA256SUMS", bundle / "bundle.json"
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md: wrong checksum"):
        Bundle.open(bundle, require_key=KEY.public)
    with pytest.raises(BundleError, match="wrong checksum"):
        Bundle.open(bundle, require_key=KEY.public, check=False)
    old = sha256(manifest)
    manifest.write_text(manifest.read_text().replace(before, sha256(card)))
    sums.write_text(sums.read_text().replace(before, sha256(card)).replace(old, sha256(manifest)))
    for required in (None, KEY.public):
        with pytest.raises(BundleError, match="changed after it was signed"):
            Bundle.open(bundle, require_key=required)
    (bundle / "signature.json").unlink()
    assert Bundle.open(bundle).name == "specimen-1"


def test_what_a_shop_commits_is_its_own_unless_the_signed_gallery_is_asked_for(bundle: Path) -> None:
    sign(bundle, KEY)
    opened = Bundle.open(bundle, require_key=KEY.public, signed_gallery=True)
    opened.gallery().add("pear", np.eye(1, 4, 3, dtype=np.float32))
    assert "pear" in Bundle.open(bundle, require_key=KEY.public).gallery().items
    with pytest.raises(BundleError, match="version 000003 is in force, signed is 000002"):
        Bundle.open(bundle, require_key=KEY.public, signed_gallery=True)
    said = {check.name: check.detail for check in verify(bundle, require_key=KEY.public)}
    assert "of all but the gallery: version 000003 is in force, signed is 000002" in said["signature"]
    sign(bundle, KEY)
    assert Bundle.open(bundle, require_key=KEY.public, signed_gallery=True).gallery().version == "000003"
    with pytest.raises(ConfigError, match="is about a required key"):
        Bundle.open(bundle, signed_gallery=True)


def test_files_that_are_no_keys(tmp_path: Path, key: Path) -> None:
    path = tmp_path / "x.pem"
    other = x25519.X25519PrivateKey.generate()
    locked = ed25519.Ed25519PrivateKey.generate()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    cases = {
        b"": "is no such key", b"\xff" * 10_000: "is no such key", key.with_name("lab.pub").read_bytes(): "is no such key",
        key.read_bytes().replace(b"M", b"=", 1): "damaged|another kind",
        other.private_bytes(pem, pkcs8, serialization.NoEncryption()): "another kind",
        locked.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"x")): "behind a passphrase",
    }  # fmt: skip
    for data, message in cases.items():
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=message):
            PrivateKey.read(path)
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match="expected an Ed25519 private key"):
            PrivateKey.read(missing)


def test_a_signature_file_is_what_sign_writes_byte_for_byte(bundle: Path) -> None:
    sign(bundle, KEY)
    path = bundle / "signature.json"
    sound = path.read_bytes()
    assert read_signature(path).to_bytes() == sound
    content = json.loads(sound)
    spoiled = [
        b"", b"[]", b"{}", sound + b"\n", sound[:-1], sound.upper(), sound.replace(b": ", b":"), b"x" * 5000,
        *(json.dumps(content | {name: value}).encode() + b"\n" for name, value in (
            ("gallery", None), ("gallery", []), ("gallery", {"version": 1, "sha256": 2}), ("sums", "0" * 64), ("public_key", "zz"),
            ("signature", None), ("schema", "facings.signature/2"), ("more", 1),
        )),
    ]  # fmt: skip
    for data in spoiled:
        path.write_bytes(data)
        with pytest.raises(BundleError, match=r"signature\.json: damaged, or no signature"):
            Bundle.open(bundle)
