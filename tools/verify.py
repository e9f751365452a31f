#!/usr/bin/env python3
"""Checks a proof bundle of orrery without orrery.

    verify.py BUNDLE --key KEY [--handovers FILE] [--kept NOTE] [--json] [--pure]
    verify.py --self-test

BUNDLE is what `orrery prove ... --out BUNDLE` wrote. KEY is the public key of
the log (`orrery prove key`), or a file with it: it must come from somebody you
trust, never along with the bundle. NOTE is a checkpoint that you kept earlier.
FILE is what `orrery key handovers` prints: it leads from the key that you trust
to the one that signs now.

Exit code 0: it holds, and what is proven is printed. 1: refused, with the reason.
2: it could not run.

Needs Python 3.8 and the files beside it, nothing else. Whether something is
proven is decided here, in check(), near the end. primitives.py is BLAKE3 and
Ed25519, or takes the modules `blake3` and `cryptography`, which are faster, where
they are installed and --pure is not given; events.py reads the fields of what is
proven, strictly, and prints. The format is section 12 of journal/FORMAT.md, and
for days and artifacts docs/proofs.md.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import struct
import sys
import unicodedata

sys.dont_write_bytecode = True  # The folder may be somebody's evidence.
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
try:
    from events import ROW_LENGTHS, as_json, as_text, decode, read_header
    from primitives import (CHUNK, blake3_derived, blake3_hash, chunk_value, ed25519_verify,
                            parent_value, split, use_installed_modules)
except ImportError as why:
    print(f"error: {why}: the files beside verify.py belong to it", file=sys.stderr)
    sys.exit(2)  # An uncaught exception would end with 1, which means refused.

BUNDLE_BYTES_MAX = 256 << 20
LABEL = 64
PAGE_EVENTS = 4096


class Refused(Exception):
    """The bundle proves nothing; the text says why."""


def must(holds, why):
    if not holds:
        raise Refused(why)


# --- The log: RFC 6962, checked as in RFC 9162 --------------------------------

def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def climb(at, last, path, start):
    """From a node to the root of the log that ends with it, and to that of the
    whole log; no roots if the path is too long or too short."""
    old = new = start
    for other in path:
        if last == 0:
            return None, None
        # What lies on the left is in both logs; on the right, in the whole one only.
        if at % 2 == 1 or at == last:
            old, new = sha256(b"\1", other, old), sha256(b"\1", other, new)
            while at and at % 2 == 0:
                at, last = at // 2, last // 2
        else:
            new = sha256(b"\1", new, other)
        at, last = at // 2, last // 2
    return (old, new) if last == 0 else (None, None)


def includes(address, index, size, path, root):
    return index < size and climb(index, size - 1, path, sha256(b"\0", address))[1] == root


def consistent(old, old_root, new, new_root, path):
    """Whether the log of `new` leaves begins with that of `old` leaves."""
    if old == new:
        return not path and old_root == new_root
    if old == 0:
        return not path and old_root == sha256(b"")
    if old > new:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at // 2, last // 2
    # Where the old log is a full tree, the path begins with its root, unsaid.
    path = path if old & (old - 1) else [old_root, *path]
    return bool(path) and climb(at, last, path[1:], path[0]) == (old_root, new_root)


# --- Signed notes -------------------------------------------------------------

def from_base64(text, what):
    """Strict: what encodes differently again is refused."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        raise Refused(f"{what} is not base64") from None
    must(base64.b64encode(data).decode() == text, f"{what} is not base64 as it is written")
    return data


def is_name(name):
    bad = any(c == "+" or c.isspace() or unicodedata.category(c) in ("Cc", "Cs") for c in name)
    return not bad and 1 <= len(name.encode()) <= 255


class Key:
    def __init__(self, text):
        parts = text.strip().split("+", 2)
        must(len(parts) == 3 and is_name(parts[0]), "a key has the form name+id+base64")
        self.name = parts[0]
        data = from_base64(parts[2], "the key")
        must(len(data) == 33 and data[0] == 1, "it is not an Ed25519 key")
        self.public = data[1:]
        self.id = sha256(self.name.encode(), b"\n", data)[:4]
        must(self.id.hex() == parts[1], "the key's id is not that of its name and bytes")


def signed_text(note, key):
    """The text of a signed note; refuses it unless `key` signed it."""
    short = len(note.encode(errors="replace")) <= 64 << 10
    must(short and not any(c < " " and c != "\n" for c in note),
         "it is too long for a note, or has a control character")
    must(not any("\ud800" <= c <= "\udfff" for c in note), "it is not UTF-8")
    text, empty, signatures = note.rpartition("\n\n")
    must(empty and signatures.endswith("\n"), "it is no signed note")
    must(signatures.count("\n") <= 100, "it has too many signatures")
    text += "\n"
    good, found = False, []
    for line in signatures[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, space, signature = rest.partition(" ")
        must(dash == "\u2014" and space and is_name(name), "a line of a signature is none")
        signature = from_base64(signature, "a signature")
        must(len(signature) >= 5, "a line of a signature is none")
        found.append(f"{name}+{signature[:4].hex()}")
        # Signatures of others, who are witnesses, are left alone.
        if name == key.name and signature[:4] == key.id:
            good = ed25519_verify(key.public, signature[4:], text.encode())
            must(good, f"the signature of {name} is not that of this text")
    must(good, f"it is not signed by {key.name}+{key.id.hex()}, but by {', '.join(found)}")
    return text


class Checkpoint:
    """What a log says of itself; `key` must have signed it."""

    def __init__(self, note, key):
        lines = signed_text(note, key).split("\n")
        must(len(lines) >= 4 and "" not in lines[:-1], "its text is no checkpoint")
        self.origin, size, root = lines[:3]
        must(re.fullmatch("0|[1-9][0-9]*", size) and int(size) < 1 << 64,
             "its second line is no size")
        self.size = int(size)
        self.root = from_base64(root, "the root")
        must(len(self.root) == 32, "its third line is no root")
        must(self.origin == key.name,
             f"it is of the log {self.origin}, and the key is of {key.name}")


def read_note(kind, note, key, what):
    try:
        return kind(note, key)
    except Refused as why:
        raise Refused(f"{what} is refused: {why}") from None


def follow(file, key):
    """The keys of a log, from the trusted one on: each handover is signed by the
    key that gives way and by the one that it names."""
    notes = file.split("\n\n")
    must(notes.pop() == "" and len(notes) % 2 == 0,
         "its end is no whole note with an empty line behind it")
    keys, last = [key], None
    for text, signatures in zip(notes[::2], notes[1::2]):
        lines = text.split("\n")[3:]
        by = [Key(line[3:]) for line in lines if line.startswith("by ")]
        following = [Key(line[5:]) for line in lines if line.startswith("next ")]
        must(by and following, "a handover names no key")
        for signer in (by[0], following[0]):
            Checkpoint(f"{text}\n\n{signatures}\n", signer)
        must(last is None or by[0].public == last.public,
             "a handover does not come from the key before")
        last = following[0]
        # Handovers before that of the trusted key lead to it, not on from it.
        if len(keys) > 1 or by[0].public == key.public:
            keys.append(last)
    must(len(keys) > 1 or (last and last.public == key.public),
         "the trusted key neither gave way in it nor took over")
    return keys


# --- The form of a bundle -----------------------------------------------------

COMMON = {"format": str, "proves": str, "checkpoint": str}
CLAIMS = {
    "consistency": {**COMMON, "old": str, "path": list},
    "events": {**COMMON, "events": list, "pages": list},
    "range": {**COMMON, "from": int, "to": int, "pages": list},
    "day": {**COMMON, "certificate": str, "path": list},
    "artifact": {**COMMON, "certificate": str, "path": list, "artifact": dict},
}
PAGE = {"index": int, "address": str, "path": list, "length": int, "chunks": list, "tree": list}
ARTIFACT = {"header": str, "index": int, "path": list}


def no_duplicates(pairs):
    out = {}
    for name, value in pairs:
        must(name not in out, f"the field {name} occurs twice")
        out[name] = value
    return out


def must_have(record, fields, what):
    """Exactly these fields, of these types."""
    must(isinstance(record, dict), f"{what} is no object")
    for name in record:
        must(name in fields, f"{what} has no field {name}")
    for name, kind in fields.items():
        must(name in record, f"{what} needs the field {name}")
        value = record[name]
        must(type(value) is kind and (kind is not int or 0 <= value < 1 << 64),
             f"{name} of {what} is not what it should be")


def hashes(values, what):
    must(all(type(value) is str for value in values), f"{what} is no list of texts")
    out = [from_base64(value, what) for value in values]
    must(all(len(value) == 32 for value in out), f"a hash of {what} has not 32 bytes")
    return out


# --- Pages --------------------------------------------------------------------

class Page:
    """A page or some of its chunks of 1,024 bytes, and its way to the root."""

    def __init__(self, record):
        must_have(record, PAGE, "a page")
        self.index, self.length = record["index"], record["length"]
        must(re.fullmatch("[0-9a-fA-F]{64}", record["address"]),
             "an address has not 64 hex digits")
        self.address = bytes.fromhex(record["address"])
        self.path = hashes(record["path"], "a path")
        self.tree = hashes(record["tree"], "a tree")
        self.runs, self.chunks = [], {}
        for run in record["chunks"]:
            must_have(run, {"first": int, "bytes": str}, "a list of chunks")
            self.runs.append((run["first"], from_base64(run["bytes"], "a chunk")))

    def get(self, start, length):
        """Bytes of the page, or None where they are not shown."""
        end = start + length
        shown = [self.chunks.get(n) for n in range(start // CHUNK, -(-end // CHUNK))]
        if end > self.length or None in shown:
            return None
        return b"".join(shown)[start % CHUNK:][:length]

    def holds(self, seq):
        return self.first <= seq <= self.last

    def found_address(self):
        """The address that the shown bytes lead to: their BLAKE3, with nodes of its
        tree in place of what is left out."""
        must(0 < self.length <= LABEL + PAGE_EVENTS * 128,
             f"a page has no length of {self.length} bytes")
        after = -1
        for first, data in self.runs:
            start, end = first * CHUNK, first * CHUNK + len(data)
            whole = end == self.length or (end < self.length and end % CHUNK == 0)
            must(data and whole and start > after,
                 f"chunk {first} of page {self.index} is out of place")
            after = end
            for at in range(0, len(data), CHUNK):
                self.chunks[first + at // CHUNK] = data[at:at + CHUNK]
        everything = self.get(0, self.length)
        if everything is not None:
            must(not self.tree, f"page {self.index} is whole and has hashes left over")
            return blake3_hash(everything)
        count = -(-self.length // CHUNK)
        must(count > 1, f"page {self.index} shows nothing")
        rest = list(self.tree)

        def node(first, last):
            if not any(n in self.chunks for n in range(first, last)):
                must(rest, f"page {self.index} has too few hashes of what is left out")
                return rest.pop(0)
            if last - first == 1:
                return chunk_value(self.chunks[first], first)
            middle = first + split(last - first)
            left, right = node(first, middle), node(middle, last)
            return parent_value(left, right, root=last - first == count)

        found = node(0, count)
        must(not rest, f"page {self.index} has too many hashes of what is left out")
        return found

    def check(self, signed):
        """Checks that the page is in the log, and reads its label."""
        found = self.found_address()
        must(found == self.address,
             f"page {self.index} was changed: its bytes have the address {found.hex()}, not "
             f"{self.address.hex()}")
        must(includes(found, self.index, signed.size, self.path, signed.root),
             f"page {self.index} is not in the log that was signed: it was changed and hashed "
             "anew, or moved")
        label = self.get(0, LABEL)
        must(label is not None, f"page {self.index} does not show its label")
        magic, version, self.count, self.first, self.day = struct.unpack("<8sIIQi", label[:28])
        must(magic == b"ORRYPAGE" and version == 1 and label[28:] == bytes(36)
             and 1 <= self.count <= PAGE_EVENTS and self.first >= 1,
             f"page {self.index} has no readable label")
        self.last = self.first + self.count - 1
        must(self.index <= self.first - 1 <= PAGE_EVENTS * self.index,
             f"page {self.index} cannot begin with event {self.first}")


def check_pages(records, signed):
    pages = [Page(record) for record in records]
    for n, page in enumerate(pages):
        page.check(signed)
        if n > 0:
            before = pages[n - 1]
            beside = before.index + 1 == page.index
            must(before.index < page.index and before.last < page.first
                 and before.day <= page.day and (not beside or before.last + 1 == page.first),
                 f"pages are out of order, or one is left out, at page {page.index}")
    return pages


# --- Events -------------------------------------------------------------------

def row_length(tag):
    must(tag in ROW_LENGTHS, f"there is no kind of event {tag}")
    return ROW_LENGTHS[tag]


def rows_of(page):
    """All rows of a whole page: exactly as many as its label says."""
    data, at, rows = page.get(0, page.length), LABEL, []
    must(data is not None, f"page {page.index} does not show all of its bytes")
    while at < len(data):
        must(at + 24 <= len(data) and at + row_length(data[at + 22]) <= len(data),
             f"page {page.index} ends within an event")
        rows.append(data[at:at + row_length(data[at + 22])])
        at += len(rows[-1])
    must(len(rows) == page.count,
         f"page {page.index} names {page.count} events and holds {len(rows)}")
    return rows


def row_of(page, seq):
    """The row of one event, from what is shown."""
    must(page.get(page.length - 1, 1) is not None,
         f"page {page.index} does not show its last chunk, which proves its length")

    def shown(at, length):
        data = page.get(at, length)
        must(data is not None, f"page {page.index} does not show the rows up to event {seq}")
        return data

    # Where all rows have one length, the place of each is known without the others.
    position = seq - page.first
    for width in (64, 128):
        if page.length == LABEL + page.count * width:
            row = shown(LABEL + position * width, width)
            must(row_length(row[22]) == width, f"event {seq} has not the length of its kind")
            return row
    at = LABEL
    for _ in range(position):
        at += row_length(shown(at + 22, 1)[0])
    return shown(at, row_length(shown(at + 22, 1)[0]))


def decoded(seq, row):
    """The moment and the fields of an event; its row must be their one encoding."""
    try:
        return decode(seq, row)
    except ValueError as why:
        raise Refused(f"event {seq} {why}") from None


def check_events(seqs, pages):
    must(seqs, "the claim is empty")
    out, used = [], set()
    for n, seq in enumerate(seqs):
        must(type(seq) is int and (n == 0 or seqs[n - 1] < seq),
             "the claimed events do not ascend")
        page = next((page for page in pages if page.holds(seq)), None)
        must(page, f"no page of the bundle holds event {seq}")
        used.add(page)
        out.append(decoded(seq, row_of(page, seq))[1])
    for page in pages:
        must(page in used, f"page {page.index} has nothing to do with what is claimed")
    return out


def check_range(first, last, pages):
    must(1 <= first <= last, f"events {first} to {last} are no range")
    must(pages, f"no page of the bundle holds event {first}")
    for page, seq in ((pages[0], first), (pages[-1], last)):
        held = any(other.holds(seq) for other in pages)
        must(held, f"no page of the bundle holds event {seq}")
        must(page.holds(seq), f"page {page.index} has nothing to do with what is claimed")
    out, before = [], None
    for n, page in enumerate(pages):
        must(page.index == pages[0].index + n,
             f"pages are out of order, or one is left out, at page {page.index}")
        for seq, row in enumerate(rows_of(page), page.first):
            recv, event = decoded(seq, row)
            must(before is None or before <= recv,
                 f"event {seq} was taken earlier than the one before it")
            before = recv
            if first <= seq <= last:
                out.append(event)
    return out


# --- Days and artifacts -------------------------------------------------------

class Certificate:
    """What a trading day comes down to; `key` must have signed it."""

    def __init__(self, note, key):
        self.text = signed_text(note, key)
        lines = self.text.splitlines()
        must(lines[:1] == ["orrery day certificate 1"], "it is no certificate of a day")
        said = dict(line.partition(" ")[::2] for line in lines[1:])
        self.profiles = {line[8:] for line in lines if line.startswith("profile ")}
        try:
            self.id = f"{said['day']}.{said['number']}"
            self.last = int(said["events"].split(" ")[1])
            self.last_recv = said["time"].split(" ")[1]
            self.size = sum(map(int, said["pages"].split(" ")))
            self.root = bytes.fromhex(said["log-root"])
            self.configuration = said["configuration"]
            count, root = said["artifacts"].split(" ")
            self.artifacts, self.artifact_root = int(count), bytes.fromhex(root)
            log = said["log"]
        except (KeyError, IndexError, ValueError):
            raise Refused("a line of it is missing or not what it should be") from None
        must(log == key.name, f"it is of the log {log}, and the key is of {key.name}")


def check_artifact(record, certificate):
    """The header, which must be one of those of the certified day, and whether
    its body is there."""
    with_body = "body" in record
    must_have(record, {**ARTIFACT, "body": str} if with_body else ARTIFACT, "the artifact")
    data = from_base64(record["header"], "the header")
    try:
        header = read_header(data)
        leaf = blake3_derived("orrery 2026-01 artifact header", data)
    except ValueError as why:
        raise Refused(str(why)) from None
    path = hashes(record["path"], "the artifact's path")
    must(includes(leaf, record["index"], certificate.artifacts, path, certificate.artifact_root),
         f"the header is not among the {certificate.artifacts} that the certificate "
         f"{certificate.id} stands for: it was changed, or is of another day")
    must(header["configuration"] == certificate.configuration
         and header["profile"] in certificate.profiles
         and header["seq_last"] <= certificate.last
         and header["created_at"] <= certificate.last_recv,
         "the header does not fit the certificate")
    if with_body:
        found = blake3_hash(record["body"].encode(errors="surrogatepass")).hex()
        must(found == header["content"],
             f"the body was changed: its blake3 is {found}, and the header's is "
             f"{header['content']}")
    return header, with_body


# --- The claims ---------------------------------------------------------------

def check(data, key):
    """What a bundle proves: its checkpoint, an older one or None, events, and of a
    day or an artifact the certificate and (header, whether its body is there)."""
    must(len(data) <= BUNDLE_BYTES_MAX, f"a bundle has {BUNDLE_BYTES_MAX} bytes at most")
    try:
        bundle = json.loads(data.decode(), object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as why:
        raise Refused(f"it is no bundle: {why}") from None
    must(isinstance(bundle, dict), "it is no bundle")
    must(bundle.get("format") == "orrery-proof/1", "its format is not orrery-proof/1")
    what = bundle.get("proves")
    must(type(what) is str and what in CLAIMS,
         "it proves neither events nor a range, consistency, a day or an artifact")
    must_have(bundle, CLAIMS[what], "the bundle")
    signed = read_note(Checkpoint, bundle["checkpoint"], key, "the checkpoint")
    old, events, certificate, artifact = None, [], None, None
    if what == "consistency":
        old = read_note(Checkpoint, bundle["old"], key, "the older checkpoint")
        path = hashes(bundle["path"], "the path")
        must(consistent(old.size, old.root, signed.size, signed.root, path),
             f"the log of {signed.size} pages does not begin with what was signed at {old.size} "
             "pages: one of the two is not the history of this log, or the path was changed")
    elif what == "events":
        events = check_events(bundle["events"], check_pages(bundle["pages"], signed))
    elif what == "range":
        pages = check_pages(bundle["pages"], signed)
        events = check_range(bundle["from"], bundle["to"], pages)
    else:
        certificate = read_note(Certificate, bundle["certificate"], key, "the certificate")
        path = hashes(bundle["path"], "the path")
        must(consistent(certificate.size, certificate.root, signed.size, signed.root, path),
             f"the log of {signed.size} pages does not begin with the {certificate.size} pages "
             "that the certificate stands on: it is of another history, or the path was changed")
        if what == "artifact":
            artifact = check_artifact(bundle["artifact"], certificate)
    return signed, old, events, certificate, artifact


def check_kept(kept, signed, old):
    same = [shown for shown in (old, signed) if shown and shown.size == kept.size][:1]
    must(same, f"the kept checkpoint is over {kept.size} pages and the bundle's over "
               f"{signed.size}: ask for a proof of consistency between them")
    must(same[0].root == kept.root,
         f"two histories: the log has signed another root over {kept.size} pages than the kept "
         "one; keep both notes, they prove it")


def kept_checkpoint(note, keys, what):
    """A checkpoint that one of the log's keys has signed."""
    for key in keys:
        try:
            return read_note(Checkpoint, note, key, what)
        except Refused as why:
            refused = why
    raise refused


# --- The command --------------------------------------------------------------

def read_text(path):
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def main():
    parser = argparse.ArgumentParser(description="Checks a proof bundle of orrery without orrery.",
                                     epilog="Exit code 0: it holds. 1: refused. 2: could not run.")
    parser.add_argument("bundle", nargs="?", help="file that `orrery prove` wrote")
    parser.add_argument("--key", help="public key of the log, or a file with it")
    parser.add_argument("--handovers", help="handovers that lead on from --key")
    parser.add_argument("--kept", help="a checkpoint that you kept earlier")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--pure", action="store_true", help="use no installed module")
    parser.add_argument("--self-test", action="store_true", help="check this program itself")
    args = parser.parse_args()
    if not args.pure:
        use_installed_modules()
    if args.self_test:
        import self_test
        self_test.run(sha256, includes, consistent)
        print("the hashes, the signature check and the tree are as they should be")
        return 0
    if not args.bundle or not args.key:
        parser.error("name a bundle, and with --key the log that you trust")
    try:
        with open(args.bundle, "rb") as file:
            data = file.read()
        keys = [Key(args.key if "+" in args.key else read_text(args.key))]
        if args.handovers:
            keys = follow(read_text(args.handovers), keys[0])
        kept = kept_checkpoint(read_text(args.kept), keys, args.kept) if args.kept else None
    except (OSError, UnicodeDecodeError, Refused) as why:
        print(f"error: {why}", file=sys.stderr)
        return 2
    try:
        proven = check(data, keys[-1])
        if kept:
            check_kept(kept, *proven[:2])
    except Refused as why:
        print(json.dumps({"holds": False, "why": [str(why)]}) if args.json else f"REFUSED: {why}")
        return 1
    print(as_json(*proven) if args.json else as_text(*proven))
    return 0


if __name__ == "__main__":
    sys.exit(main())
