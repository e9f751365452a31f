"""What `verify.py --self-test` does: BLAKE3 and Ed25519 against published
vectors, and the log's two proofs against trees built leaf by leaf."""

from primitives import NEUTRAL, blake3_derived, blake3_hash, ed25519_verify, split


def hashes():
    def counted(length):
        return bytes(i % 251 for i in range(length))

    for length, wanted in (
            (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
            (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
            (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
            (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
            (5120, "9cadc15fed8b5d854562b26a9536d9707cadeda9b143978f319ab34230535833")):
        assert blake3_hash(counted(length)).hex() == wanted, f"BLAKE3 of {length} bytes"
    context = "BLAKE3 2019-12-27 16:29:52 test vectors context"
    for length, wanted in (
            (0, "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d"),
            (1023, "74a16c1c3d44368a86e1ca6df64be6a2f64cce8f09220787450722d85725dea5"),
            (1024, "7356cd7720d5b66b6d0697eb3177d9f8d73a4a5c5e968896eb6a689684302706"),
            (1025, "effaa245f065fbf82ac186839a249707c3bddf6d3fdda22d1b95a3c970379bcb"),
            (5120, "7a7acac8a02adcf3038d74cdd1d34527de8a0fcc0ee3399d1262397ce5817f60")):
        found = blake3_derived(context, counted(length)).hex()
        assert found == wanted, f"BLAKE3 of {length} bytes under a context"


def signatures():
    key = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    assert ed25519_verify(key, signature, b"\x72"), "Ed25519, RFC 8032 test 2"
    for at in range(64):
        bad = bytearray(signature)
        bad[at] ^= 1
        assert not ed25519_verify(key, bytes(bad), b"\x72"), "Ed25519, changed signature"
    assert not ed25519_verify(key, signature, b"\x73"), "Ed25519, changed text"
    assert not ed25519_verify(NEUTRAL, signature, b"\x72"), "Ed25519, a key of small order"


def log(sha256, includes, consistent):
    """Every leaf and every beginning of every small log."""
    def root(leaves):
        if len(leaves) < 2:
            return leaves[0] if leaves else sha256(b"")
        at = split(len(leaves))
        return sha256(b"\1", root(leaves[:at]), root(leaves[at:]))

    def path(index, leaves):
        if len(leaves) == 1:
            return []
        at = split(len(leaves))
        if index < at:
            return path(index, leaves[:at]) + [root(leaves[at:])]
        return path(index - at, leaves[at:]) + [root(leaves[:at])]

    def growth(old, leaves, known=True):
        """RFC 6962, 2.1.2: from the first `old` leaves, whose root may be known."""
        if old == len(leaves):
            return [] if known else [root(leaves)]
        at = split(len(leaves))
        if old <= at:
            return growth(old, leaves[:at], known) + [root(leaves[at:])]
        return growth(old - at, leaves[at:], False) + [root(leaves[:at])]

    addresses = [bytes([n]) * 32 for n in range(20)]
    leaves = [sha256(b"\0", address) for address in addresses]
    for size in range(1, 20):
        new = root(leaves[:size])
        for index in range(size):
            proof = path(index, leaves[:size])
            assert includes(addresses[index], index, size, proof, new)
            assert not includes(addresses[19], index, size, proof, new)
        for old in range(size + 1):
            proof = growth(old, leaves[:size]) if old else []
            assert consistent(old, root(leaves[:old]), size, new, proof)
            assert not consistent(old, addresses[0], size, new, proof)
            assert not consistent(old, root(leaves[:old]), size, addresses[0], proof) or not old
            assert not consistent(old, root(leaves[:old]), size, new, proof + [new])


def run(sha256, includes, consistent):
    hashes()
    signatures()
    log(sha256, includes, consistent)
