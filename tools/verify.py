#!/usr/bin/env python3
"""Checks a proof bundle of orrery without orrery.

    verify.py BUNDLE --key KEY [--handovers FILE] [--kept NOTE] [--json] [--pure]
    verify.py --self-test

BUNDLE is what `orrery prove ... --out BUNDLE` wrote. KEY is the public key of
the log (`orrery prove key`), or a file with it: it must come from somebody you
trust, never along with the bundle. NOTE is a checkpoint that you kept earlier.
FILE is what `orrery key handovers` prints: it leads from the key that you trust
to the one that signs now.

Exit code 0: it holds; what is proven is printed: the events, one a line, or the
certificate of a day, or an artifact. 1: refused, with the reason. 2: it could
not run.

Needs Python 3.8 and nothing else. Where the modules `blake3` and
`cryptography` are installed they are used, because they are faster; --pure
does without them. The format is section 12 of journal/FORMAT.md, and for days
and artifacts docs/proofs.md.
"""

import argparse
import base64
import datetime
import hashlib
import json
import struct
import sys
import unicodedata

BUNDLE_BYTES_MAX = 256 << 20
CHUNK = 1024
LABEL = 64
PAGE_EVENTS = 4096
LENGTH_MAX = LABEL + PAGE_EVENTS * 128


class Refused(Exception):
    """The bundle proves nothing; the text says why."""


# --- BLAKE3 ---------------------------------------------------------------

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
      0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
MIXED = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT, CONTEXT, DERIVED = 1, 2, 4, 8, 32, 64
MASK = 0xFFFFFFFF


def _schedule():
    order, rounds = tuple(range(16)), []
    for _ in range(7):
        rounds.append(tuple(place + (order[2 * n], order[2 * n + 1])
                            for n, place in enumerate(MIXED)))
        order = tuple(order[i] for i in PERMUTATION)
    return rounds


SCHEDULE = _schedule()


def compress(cv, block, counter, flags):
    """Chaining value after one block of at most 64 bytes."""
    m = struct.unpack("<16I", block + bytes(64 - len(block)))
    v = list(cv) + [IV[0], IV[1], IV[2], IV[3],
                    counter & MASK, counter >> 32, len(block), flags]
    for rnd in SCHEDULE:
        for a, b, c, d, x, y in rnd:
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = (va + vb + m[x]) & MASK
            vd ^= va
            vd = (vd >> 16 | vd << 16) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            vb = (vb >> 12 | vb << 20) & MASK
            va = (va + vb + m[y]) & MASK
            vd ^= va
            vd = (vd >> 8 | vd << 24) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            vb = (vb >> 7 | vb << 25) & MASK
            v[a], v[b], v[c], v[d] = va, vb, vc, vd
    return tuple(v[i] ^ v[i + 8] for i in range(8))


def chunk_value(data, number, root=False, cv=IV, mode=0):
    blocks = [data[i:i + 64] for i in range(0, len(data), 64)] or [b""]
    for n, block in enumerate(blocks):
        flags = mode | (CHUNK_START if n == 0 else 0)
        if n == len(blocks) - 1:
            flags |= CHUNK_END | (ROOT if root else 0)
        cv = compress(cv, block, number, flags)
    return struct.pack("<8I", *cv)


def parent_value(left, right, root=False):
    return struct.pack("<8I", *compress(IV, left + right, 0, PARENT | (ROOT if root else 0)))


def split(n):
    """Largest power of two below n, which is at least 2."""
    return 1 << ((n - 1).bit_length() - 1)


FAST = {}


def blake3_hash(data):
    if "blake3" in FAST:
        return FAST["blake3"](data).digest()

    def tree(first, last, root):
        if last - first == 1:
            return chunk_value(data[first * CHUNK:last * CHUNK], first, root)
        middle = first + split(last - first)
        return parent_value(tree(first, middle, False), tree(middle, last, False), root)

    return tree(0, max(1, -(-len(data) // CHUNK)), True)


# --- Ed25519 (RFC 8032) ---------------------------------------------------

P = 2 ** 255 - 19
L = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def _add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _times(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = _add(q, p)
        p = _add(p, p)
        n >>= 1
    return q


def _point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_M1 % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def _bytes(p):
    z = pow(p[2], P - 2, P)
    x, y = p[0] * z % P, p[1] * z % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = _point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
NEUTRAL = _bytes((0, 1, 1, 0))


def ed25519_verify(key, signature, text):
    point = _point(key)
    if len(signature) != 64 or point is None or _bytes(_times(8, point)) == NEUTRAL:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    if "ed25519" in FAST:
        return FAST["ed25519"](key, signature, text)
    h = hashlib.sha512(signature[:32] + key + text).digest()
    k = int.from_bytes(h, "little") % L
    x, y, z, t = point
    minus = (P - x, y, z, P - t)
    return _bytes(_add(_times(s, BASE), _times(k, minus))) == signature[:32]


def blake3_derived(context, data):
    """BLAKE3 under a context of its own; of a chunk at most, as headers are."""
    if "blake3" in FAST:
        return FAST["blake3"](data, derive_key_context=context).digest()
    if len(data) > CHUNK:
        raise Refused("it is too long for the header of an artifact")
    key = struct.unpack("<8I", chunk_value(context.encode(), 0, True, IV, CONTEXT))
    return chunk_value(data, 0, True, key, DERIVED)


def use_installed_modules():
    try:
        import blake3
        FAST["blake3"] = blake3.blake3
    except ImportError:
        pass
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return

    def verify(key, signature, text):
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
            return True
        except (InvalidSignature, ValueError):
            return False

    FAST["ed25519"] = verify


# --- The log: RFC 6962, checked as in RFC 9162 ------------------------------

def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def climb(at, last, path, step):
    """Walks from a leaf or subtree to the root; False if the path is too long
    or too short."""
    for other in path:
        if last == 0:
            return False
        if at % 2 == 1 or at == last:
            step(other, True)
            while at and at % 2 == 0:
                at, last = at // 2, last // 2
        else:
            step(other, False)
        at, last = at // 2, last // 2
    return last == 0


def includes(address, index, size, path, root):
    state = [sha256(b"\0", address)]

    def step(other, left):
        pair = (other, state[0]) if left else (state[0], other)
        state[0] = sha256(b"\1", *pair)

    return index < size and climb(index, size - 1, path, step) and state[0] == root


def consistent(old, new, path):
    (old, old_root), (new, new_root) = old, new
    if old > new:
        return False
    if old == new:
        return not path and old_root == new_root
    if old == 0:
        return not path and old_root == sha256(b"")
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at // 2, last // 2
    if old & (old - 1):
        if not path:
            return False
        start, path = path[0], path[1:]
    else:
        start = old_root
    state = [start, start]

    def step(other, left):
        if left:
            state[:] = [sha256(b"\1", other, state[0]), sha256(b"\1", other, state[1])]
        else:
            state[1] = sha256(b"\1", state[1], other)

    return climb(at, last, path, step) and state == [old_root, new_root]


# --- Signed notes -----------------------------------------------------------

def from_base64(text, what):
    """Strict: what encodes differently again is refused."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        raise Refused(f"{what} is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise Refused(f"{what} is not base64 as it is written")
    return data


def is_name(name):
    bad = any(c == "+" or c.isspace() or unicodedata.category(c) in ("Cc", "Cs") for c in name)
    return not bad and 1 <= len(name.encode()) <= 255


class Key:
    def __init__(self, text):
        parts = text.strip().split("+", 2)
        if len(parts) != 3 or not is_name(parts[0]):
            raise Refused("a key has the form name+id+base64")
        self.name = parts[0]
        data = from_base64(parts[2], "the key")
        if len(data) != 33 or data[0] != 1:
            raise Refused("it is not an Ed25519 key")
        self.public = data[1:]
        self.id = sha256(self.name.encode(), b"\n", data)[:4]
        if self.id.hex() != parts[1]:
            raise Refused("the key's id is not that of its name and bytes")


def signed_text(note, key):
    """The text of a signed note; refuses it unless `key` signed it."""
    if len(note.encode(errors="replace")) > 64 << 10 or any(c < " " and c != "\n" for c in note):
        raise Refused("it is too long for a note, or has a control character")
    if any("\ud800" <= c <= "\udfff" for c in note):
        raise Refused("it is not UTF-8")
    text, empty, signatures = note.rpartition("\n\n")
    if not empty or not signatures.endswith("\n"):
        raise Refused("it is no signed note")
    if signatures.count("\n") > 100:
        raise Refused("it has too many signatures")
    text += "\n"
    good, found = False, []
    for line in signatures[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, space, signature = rest.partition(" ")
        if dash != "\u2014" or not space or not is_name(name):
            raise Refused("a line of a signature is none")
        signature = from_base64(signature, "a signature")
        if len(signature) < 5:
            raise Refused("a line of a signature is none")
        found.append(f"{name}+{signature[:4].hex()}")
        if name != key.name or signature[:4] != key.id:
            continue
        if not ed25519_verify(key.public, signature[4:], text.encode()):
            raise Refused(f"the signature of {name} is not that of this text")
        good = True
    if not good:
        raise Refused(f"it is not signed by {key.name}+{key.id.hex()}, but by "
                      + ", ".join(found))
    return text


class Checkpoint:
    """What a log says of itself; `key` must have signed it."""

    def __init__(self, note, key):
        lines = signed_text(note, key).split("\n")
        if len(lines) < 4 or "" in lines[:-1]:
            raise Refused("its text is no checkpoint")
        self.origin, size, root = lines[:3]
        if not (size.isascii() and size.isdigit()) or (size[0] == "0" and size != "0") \
                or int(size) >= 1 << 64:
            raise Refused("its second line is no size")
        self.size = int(size)
        self.root = from_base64(root, "the root")
        if len(self.root) != 32:
            raise Refused("its third line is no root")
        if self.origin != key.name:
            raise Refused(f"it is of the log {self.origin}, and the key is of {key.name}")


def checkpoint(note, key, what):
    try:
        return Checkpoint(note, key)
    except Refused as why:
        raise Refused(f"{what} is refused: {why}") from None


def follow(file, key):
    """The keys of a log, from the trusted one on: each handover is signed by the
    key that gives way and by the one that it names."""
    notes = file.split("\n\n")
    if notes.pop() or len(notes) % 2:
        raise Refused("its end is no whole note with an empty line behind it")
    keys, last = [key], None
    for text, signatures in zip(notes[::2], notes[1::2]):
        note, lines = f"{text}\n\n{signatures}\n", text.split("\n")[3:]
        by, following = ([Key(rest[len(word):]) for rest in lines if rest.startswith(word)]
                         for word in ("by ", "next "))
        if not by or not following:
            raise Refused("a handover names no key")
        by, following = by[0], following[0]
        for signer in (by, following):
            Checkpoint(note, signer)
        if last and by.public != last.public:
            raise Refused("a handover does not come from the key before")
        if len(keys) > 1 or by.public == key.public:
            keys.append(following)
        last = following
    if len(keys) == 1 and (last is None or last.public != key.public):
        raise Refused("the trusted key neither gave way in it nor took over")
    return keys


# --- The form of a bundle -----------------------------------------------------

def no_duplicates(pairs):
    out = {}
    for name, value in pairs:
        if name in out:
            raise Refused(f"the field {name} occurs twice")
        out[name] = value
    return out


def take(record, fields, what):
    """The fields of an object: exactly these, of these types."""
    if not isinstance(record, dict):
        raise Refused(f"{what} is no object")
    for name in record:
        if name not in fields:
            raise Refused(f"{what} has no field {name}")
    out = []
    for name, kind in fields.items():
        if name not in record:
            raise Refused(f"{what} needs the field {name}")
        value = record[name]
        if type(value) is not kind or (kind is int and not 0 <= value < 1 << 64):
            raise Refused(f"{name} of {what} is not what it should be")
        out.append(value)
    return out


def texts(values, what):
    if not all(type(value) is str for value in values):
        raise Refused(f"{what} is no list of texts")
    return values


def hashes(values, what):
    out = [from_base64(value, what) for value in texts(values, what)]
    if not all(len(value) == 32 for value in out):
        raise Refused(f"a hash of {what} has not 32 bytes")
    return out


class Page:
    """A page or some of its bytes, and its way to the root."""

    def __init__(self, record):
        fields = {"index": int, "address": str, "path": list, "length": int,
                  "chunks": list, "tree": list}
        self.index, address, path, self.length, chunks, tree = take(record, fields, "a page")
        if len(address) != 64 or not all(c in "0123456789abcdefABCDEF" for c in address):
            raise Refused("an address has not 64 hex digits")
        self.address = bytes.fromhex(address)
        self.path = hashes(path, "a path")
        self.tree = hashes(tree, "a tree")
        self.runs = []
        for chunk in chunks:
            first, data = take(chunk, {"first": int, "bytes": str}, "a list of chunks")
            self.runs.append((first, from_base64(data, "a chunk")))

    def get(self, start, end):
        """Bytes of the page, or None where they are not shown."""
        for first, data in self.runs:
            at = first * CHUNK
            if at <= start and end <= at + len(data):
                return data[start - at:end - at]
        return None

    def found_address(self):
        """The address that the shown bytes lead to."""
        if not 0 < self.length <= LENGTH_MAX:
            raise Refused(f"a page has no length of {self.length} bytes")
        after = -1
        for first, data in self.runs:
            end = first * CHUNK + len(data)
            whole = end == self.length or (end < self.length and end % CHUNK == 0)
            if not data or not whole or first * CHUNK <= after:
                raise Refused(f"chunk {first} of page {self.index} is out of place")
            after = end
        everything = self.get(0, self.length)
        if everything is not None:
            if self.tree:
                raise Refused(f"page {self.index} is whole and has hashes left over")
            return blake3_hash(everything)
        chunks = -(-self.length // CHUNK)
        if chunks < 2:
            raise Refused(f"page {self.index} shows nothing")
        rest = iter(self.tree)

        def walk(first, last, root):
            touched = any(start < last and first * CHUNK < start * CHUNK + len(data)
                          for start, data in self.runs)
            if not touched:
                value = next(rest, None)
                if value is None:
                    raise Refused(f"page {self.index} has too few hashes of what is left out")
                return value
            if last - first == 1:
                return chunk_value(self.get(first * CHUNK, min(last * CHUNK, self.length)), first)
            middle = first + split(last - first)
            left = walk(first, middle, False)
            return parent_value(left, walk(middle, last, False), root)

        root = walk(0, chunks, True)
        if next(rest, None) is not None:
            raise Refused(f"page {self.index} has too many hashes of what is left out")
        return root

    def check(self, signed):
        """Checks that the page is in the log, and reads its label."""
        found = self.found_address()
        if found != self.address:
            raise Refused(f"page {self.index} was changed: its bytes have the address "
                          f"{found.hex()}, not {self.address.hex()}")
        if not includes(found, self.index, signed.size, self.path, signed.root):
            raise Refused(f"page {self.index} is not in the log that was signed: it was changed "
                          "and hashed anew, or moved")
        label = self.get(0, LABEL)
        if label is None:
            raise Refused(f"page {self.index} does not show its label")
        magic, version, self.count, self.first, self.day = struct.unpack("<8sIIQi", label[:28])
        if magic != b"ORRYPAGE" or version != 1 or label[28:] != bytes(36) \
                or not 1 <= self.count <= PAGE_EVENTS or self.first < 1:
            raise Refused(f"page {self.index} has no readable label")
        self.last = self.first + self.count - 1
        if not self.index <= self.first - 1 <= PAGE_EVENTS * self.index:
            raise Refused(f"page {self.index} cannot begin with event {self.first}")


# --- Events ---------------------------------------------------------------------

def price(units):
    sign, units = ("-" if units < 0 else ""), abs(units)
    decimals = f"{units % 10 ** 9:09}".rstrip("0")
    return f"{sign}{units // 10 ** 9}" + (f".{decimals}" if decimals else "")


def moment(nanos):
    seconds, nanos = divmod(nanos, 10 ** 9)
    time = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{nanos:09}Z"


REASONS = ("malformed", "missing_field", "bad_price", "bad_strike", "bad_time", "bad_ticker",
           "bad_size", "unknown_kind", "empty_chain", "damaged_chain", "too_large", "duplicate",
           "wrong_underlying")

# Type: struct format, how it prints, the value that means "absent".
TYPES = {
    "price": ("<q", price, None),
    "time": ("<q", moment, None),
    "u32": ("<I", int, None),
    "u64": ("<Q", int, None),
    "exchange": ("<H", int, 0xFFFF),
    "list": ("<I", int, 0),
    "mean": ("<Q", int, 2 ** 64 - 1),
    "reason": ("<I", lambda tag: REASONS[tag - 1], None),
    "address": ("32s", bytes.hex, None),
}

BLOB = [("blob", 24, "address", 0)]
# Tag: name, fields as name, offset, type, flag that says it is there (0: always).
KINDS = {
    1: ("quote", [("bid", 24, "price", 2), ("ask", 32, "price", 4), ("bid_size", 40, "u32", 8),
                  ("ask_size", 44, "u32", 16), ("vendor_seq", 48, "u64", 32),
                  ("bid_exchange", 56, "exchange", 0), ("ask_exchange", 58, "exchange", 0),
                  ("conditions", 60, "list", 0)]),
    2: ("trade", [("price", 24, "price", 0), ("size", 32, "u64", 0), ("vendor_seq", 40, "u64", 2),
                  ("exchange", 48, "exchange", 0), ("conditions", 52, "list", 0)]),
    3: ("bar", [("start", 24, "time", 0), ("end", 32, "time", 0), ("open", 40, "price", 0),
                ("high", 48, "price", 0), ("low", 56, "price", 0), ("close", 64, "price", 0),
                ("volume", 72, "u64", 2), ("vwap", 80, "price", 4), ("trades", 88, "u64", 8),
                ("day_volume", 96, "u64", 16), ("day_open", 104, "price", 32),
                ("day_vwap", 112, "price", 64), ("trade_size_mean", 120, "mean", 0)]),
    4: ("index_value", [("value", 24, "price", 0)]),
    5: ("chain_snapshot", [("rows", 24, "address", 0), ("raw", 56, "address", 0),
                           ("spot", 88, "price", 2), ("contracts", 96, "u32", 0),
                           ("refused", 100, "u32", 0), ("latency_ns", 104, "u64", 0),
                           ("pages", 112, "u32", 0)]),
    6: ("instrument_defined", []),
    7: ("conditions_defined", BLOB + [("id", 56, "u32", 0)]),
    8: ("source_defined", BLOB),
    9: ("extension", BLOB),
    10: ("annotation", BLOB),
    11: ("news", BLOB),
    12: ("control", BLOB),
    13: ("clock_beat", []),
    14: ("gap", [("from", 24, "time", 0), ("to", 32, "time", 0)]),
    15: ("correction", BLOB + [("corrects", 56, "u64", 0)]),
    16: ("quarantine", BLOB + [("reason", 56, "reason", 0)]),
}


def row_length(tag):
    if tag not in KINDS:
        raise Refused(f"there is no kind of event {tag}")
    return 128 if tag in (3, 5) else 64


def defined_ticker(row, flags):
    """The text of an instrument's definition, or None if it is in a blob."""
    if flags & 2:
        return None
    return row[25:25 + row[24]].decode()


def decode(seq, row):
    """The fields of an event, in order. Bytes that no field covers, and fields
    that are absent, must be zero: an event has one encoding."""
    recv, vendor, instrument, source, tag, flags = struct.unpack("<qqIHBB", row[:24])
    name, fields = KINDS[tag]
    out = {"seq": seq, "recv": moment(recv), "kind": name}
    if instrument:
        out["instrument"] = instrument
        out["ticker"] = None
    if flags & 1:
        out["vendor_time"] = moment(vendor)
    elif vendor:
        raise Refused(f"event {seq} has a time that it does not have")
    out["source"] = source
    if flags & 0x80:
        out["extended"] = True
    known, covered = 0x81, set(range(24))
    if tag == 6:
        known |= 2
        if not flags & 2 and row[24] > 39:
            raise Refused(f"event {seq} has too long a text")
        covered.update(range(24, 56 if flags & 2 else 25 + row[24]))
        if flags & 2:
            out["blob"] = row[24:56].hex()
        else:
            out["defines"] = defined_ticker(row, flags)
    for field, at, kind, flag in fields:
        form, show, absent = TYPES[kind]
        width = struct.calcsize(form)
        covered.update(range(at, at + width))
        known |= flag
        value, = struct.unpack(form, row[at:at + width])
        if flag and not flags & flag:
            if any(row[at:at + width]):
                raise Refused(f"event {seq} has a {field} that it does not have")
        elif kind == "reason" and not 1 <= value <= len(REASONS):
            raise Refused(f"event {seq} has an unknown reason")
        elif absent is None or value != absent:
            out[field] = show(value)
    if flags & ~known or any(row[i] for i in range(len(row)) if i not in covered):
        raise Refused(f"event {seq} is not canonical")
    return recv, out


def decoded(seq, row):
    try:
        return decode(seq, row)
    except UnicodeDecodeError:
        raise Refused(f"event {seq} has no readable text") from None


def rows_of(page):
    """All rows of a whole page: exactly as many as its label says."""
    data, at, rows = page.get(0, page.length), LABEL, []
    if data is None:
        raise Refused(f"page {page.index} does not show all of its bytes")
    while at < page.length:
        if at + 24 > page.length or at + row_length(data[at + 22]) > page.length:
            raise Refused(f"page {page.index} ends within an event")
        rows.append(data[at:at + row_length(data[at + 22])])
        at += len(rows[-1])
    if len(rows) != page.count:
        raise Refused(f"page {page.index} names {page.count} events and holds {len(rows)}")
    return rows


def row_of(page, seq):
    """The row of one event, from what is shown."""
    if page.get(page.length - 1, page.length) is None:
        raise Refused(f"page {page.index} does not show its last chunk, which proves its length")

    def shown(start, end):
        data = page.get(start, end)
        if data is None:
            raise Refused(f"page {page.index} does not show the rows up to event {seq}")
        return data

    position = seq - page.first
    for width in (64, 128):
        if page.length == LABEL + page.count * width:
            row = shown(LABEL + position * width, LABEL + (position + 1) * width)
            if row_length(row[22]) != width:
                raise Refused(f"event {seq} has not the length of its kind")
            return row
    at = LABEL
    for _ in range(position):
        at += row_length(shown(at + 22, at + 23)[0])
    return shown(at, at + row_length(shown(at + 22, at + 23)[0]))


# --- The claims -------------------------------------------------------------------

def check_pages(records, signed):
    pages = [Page(record) for record in records]
    before = None
    for page in pages:
        page.check(signed)
        if before is not None:
            ordered = (before.index < page.index and before.last < page.first
                       and before.day <= page.day)
            adjacent = before.index + 1 == page.index
            if not ordered or (adjacent and before.last + 1 != page.first):
                raise Refused("pages are out of order, or one is left out, at page "
                              f"{page.index}")
        before = page
    return pages


def check_events(seqs, pages):
    out, used = [], set()
    if not seqs:
        raise Refused("the claim is empty")
    for n, seq in enumerate(seqs):
        if type(seq) is not int or (n and seqs[n - 1] >= seq):
            raise Refused("the claimed events do not ascend")
        page = next((page for page in pages if page.first <= seq <= page.last), None)
        if page is None:
            raise Refused(f"no page of the bundle holds event {seq}")
        used.add(page.index)
        out.append(decoded(seq, row_of(page, seq))[1])
    for page in pages:
        if page.index not in used:
            raise Refused(f"page {page.index} has nothing to do with what is claimed")
    return out


def check_range(first, last, pages):
    if not 1 <= first <= last:
        raise Refused(f"events {first} to {last} are no range")
    if not pages:
        raise Refused(f"no page of the bundle holds event {first}")
    for page, seq in ((pages[0], first), (pages[-1], last)):
        if not page.first <= seq <= page.last:
            if any(other.first <= seq <= other.last for other in pages):
                raise Refused(f"page {page.index} has nothing to do with what is claimed")
            raise Refused(f"no page of the bundle holds event {seq}")
    out, before = [], None
    for n, page in enumerate(pages):
        if page.index != pages[0].index + n:
            raise Refused(f"pages are out of order, or one is left out, at page {page.index}")
        for seq, row in enumerate(rows_of(page), page.first):
            recv, event = decoded(seq, row)
            if before is not None and recv < before:
                raise Refused(f"event {seq} was taken earlier than the one before it")
            before = recv
            if first <= seq <= last:
                out.append(event)
    return out


# --- Days and artifacts -------------------------------------------------------------

HEADER_CONTEXT = "orrery 2026-01 artifact header"


class Certificate:
    """What a trading day comes down to; `key` must have signed it."""

    def __init__(self, note, key):
        self.text = signed_text(note, key)
        lines = self.text.splitlines()
        if lines[:1] != ["orrery day certificate 1"]:
            raise Refused("it is no certificate of a day")
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
        if log != key.name:
            raise Refused(f"it is of the log {log}, and the key is of {key.name}")


def check_day(note, path, signed, key):
    """The certificate, whose log must be the beginning of the checkpoint's."""
    try:
        certificate = Certificate(note, key)
    except Refused as why:
        raise Refused(f"the certificate is refused: {why}") from None
    if not consistent((certificate.size, certificate.root), (signed.size, signed.root),
                      hashes(path, "the path")):
        raise Refused(f"the log of {signed.size} pages does not begin with the {certificate.size} "
                      "pages that the certificate stands on: it is of another history, or the "
                      "path was changed")
    return certificate


def read_header(data):
    """The fields of an artifact's header, in the order of its bytes."""
    at, out = 0, {}

    def take(length):
        nonlocal at
        if length > len(data) - at:
            raise Refused("the header ends too early")
        at += length
        return data[at - length:at]

    def number(form="<Q"):
        return struct.unpack(form, take(struct.calcsize(form)))[0]

    if number("<I") != 1:
        raise Refused("the header is not one of format 1")
    for name in ("symbol", "family", "profile"):
        out[name] = take(number()).decode()
    out["version"] = number()
    present = take(1)[0]
    if present > 1:
        raise Refused("the header is not written in the one way that there is")
    if present:
        out["epoch"] = take(32).hex()
    out["configuration"] = take(32).hex()
    out["seq_first"], out["seq_last"] = number(), number()
    out["created_at"] = moment(number("<q"))
    out["content"] = take(32).hex()
    out["body_bytes"] = number()
    out["previous"] = take(32).hex()
    if at != len(data):
        raise Refused("there are bytes behind the header")
    return out


def check_artifact(record, certificate):
    """The header, which must be one of those of the certified day."""
    fields = {"header": str, "index": int, "path": list}
    if isinstance(record, dict) and "body" in record:
        fields["body"] = str
    data, index, path, *body = take(record, fields, "the artifact")
    data = from_base64(data, "the header")
    try:
        header = read_header(data)
    except (UnicodeDecodeError, OverflowError):
        raise Refused("the header has a text or a moment that is none") from None
    leaf = blake3_derived(HEADER_CONTEXT, data)
    path = hashes(path, "the artifact's path")
    if not includes(leaf, index, certificate.artifacts, path, certificate.artifact_root):
        raise Refused(f"the header is not among the {certificate.artifacts} that the certificate "
                      f"{certificate.id} stands for: it was changed, or is of another day")
    if header["configuration"] != certificate.configuration \
            or header["profile"] not in certificate.profiles \
            or header["seq_last"] > certificate.last \
            or header["created_at"] > certificate.last_recv:
        raise Refused("the header does not fit the certificate")
    if body:
        found = blake3_hash(body[0].encode(errors="surrogatepass")).hex()
        if found != header["content"]:
            raise Refused(f"the body was changed: its blake3 is {found}, and the header's is "
                          f"{header['content']}")
    return header, bool(body)


def check(data, key):
    """What a bundle proves: its checkpoint, an older one or None, events; with
    them a certificate and (header, whether its body is there), where it is of a
    day or an artifact."""
    if len(data) > BUNDLE_BYTES_MAX:
        raise Refused(f"a bundle has {BUNDLE_BYTES_MAX} bytes at most")
    try:
        bundle = json.loads(data.decode(), object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as why:
        raise Refused(f"it is no bundle: {why}") from None
    if not isinstance(bundle, dict):
        raise Refused("it is no bundle")
    if bundle.get("format") != "orrery-proof/1":
        raise Refused("its format is not orrery-proof/1")
    common = {"format": str, "proves": str, "checkpoint": str}
    what = bundle.get("proves")
    if what == "consistency":
        _, _, note, old, path = take(bundle, {**common, "old": str, "path": list}, "the bundle")
        signed = checkpoint(note, key, "the checkpoint")
        old = checkpoint(old, key, "the older checkpoint")
        if not consistent((old.size, old.root), (signed.size, signed.root),
                          hashes(path, "the path")):
            raise Refused(f"the log of {signed.size} pages does not begin with what was signed "
                          f"at {old.size} pages: one of the two is not the history of this log, "
                          "or the path was changed")
        return signed, old, []
    if what == "events":
        fields = {**common, "events": list, "pages": list}
        _, _, note, seqs, pages = take(bundle, fields, "the bundle")
        signed = checkpoint(note, key, "the checkpoint")
        return signed, None, check_events(seqs, check_pages(pages, signed))
    if what == "range":
        fields = {**common, "from": int, "to": int, "pages": list}
        _, _, note, first, last, pages = take(bundle, fields, "the bundle")
        signed = checkpoint(note, key, "the checkpoint")
        return signed, None, check_range(first, last, check_pages(pages, signed))
    if what in ("day", "artifact"):
        fields = {**common, "certificate": str, "path": list}
        if what == "artifact":
            fields["artifact"] = dict
        _, _, note, certificate, path, *artifact = take(bundle, fields, "the bundle")
        signed = checkpoint(note, key, "the checkpoint")
        certificate = check_day(certificate, path, signed, key)
        found = check_artifact(artifact[0], certificate) if artifact else None
        return signed, None, [], certificate, found
    raise Refused("it proves neither events nor a range, consistency, a day or an artifact")


def check_kept(kept, signed, old):
    for shown in filter(None, (old, signed)):
        if shown.size == kept.size:
            if shown.root != kept.root:
                raise Refused("two histories: the log has signed another root over "
                              f"{kept.size} pages than the kept one; keep both notes, they "
                              "prove it")
            return
    raise Refused(f"the kept checkpoint is over {kept.size} pages and the bundle's over "
                  f"{signed.size}: ask for a proof of consistency between them")


def kept_checkpoint(note, keys, what):
    """A checkpoint that one of the log's keys has signed."""
    for key in keys[:-1]:
        try:
            return checkpoint(note, key, what)
        except Refused:
            continue
    return checkpoint(note, keys[-1], what)


# --- The command ---------------------------------------------------------------------

def with_tickers(events):
    """Instruments are named by their definitions, where those are proven."""
    names = {event["instrument"]: event["defines"]
             for event in events if "defines" in event and "instrument" in event}
    for event in events:
        if "ticker" in event:
            event["ticker"] = names.get(event["instrument"])
            if event["ticker"] is None:
                del event["ticker"]
    return events


def line(event):
    def shown(value):
        text = "true" if value is True else str(value)
        return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)

    return " ".join(f"{name}={shown(value)}" for name, value in event.items())


def print_day(args, signed, certificate, found):
    if args.json:
        told = {"holds": True, "checkpoint": described(signed), "certificate": certificate.text}
        if found:
            told["artifact"], told["body"] = found
        print(json.dumps(told))
        return
    if found:
        print(line(found[0]), "with its body" if found[1] else "without its body")
    else:
        print(certificate.text, end="")
    print(f"HOLDS: certificate {certificate.id}, in the log {signed.origin} of {signed.size} "
          f"pages, root {signed.root.hex()}")


def described(signed):
    return signed and {"origin": signed.origin, "size": signed.size, "root": signed.root.hex()}


def self_test():
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
            (1024, "7356cd7720d5b66b6d0697eb3177d9f8d73a4a5c5e968896eb6a689684302706")):
        found = blake3_derived(context, counted(length)).hex()
        assert found == wanted, f"BLAKE3 of {length} bytes under a context"
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
    # Every leaf and every beginning of every small log.
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

    addresses = [bytes([n]) * 32 for n in range(20)]
    leaves = [sha256(b"\0", address) for address in addresses]
    for size in range(1, 20):
        for index in range(size):
            proof = path(index, leaves[:size])
            assert includes(addresses[index], index, size, proof, root(leaves[:size]))
            assert not includes(addresses[19], index, size, proof, root(leaves[:size]))


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
        self_test()
        print("the hashes, the signature check and the tree are as they should be")
        return 0
    if not args.bundle or not args.key:
        parser.error("name a bundle, and with --key the log that you trust")
    try:
        with open(args.bundle, "rb") as file:
            data = file.read()
        text = args.key
        if "+" not in text:
            with open(text, encoding="utf-8") as file:
                text = file.read()
        keys, kept = [Key(text)], None
        if args.handovers:
            with open(args.handovers, encoding="utf-8", newline="") as file:
                keys = follow(file.read(), keys[0])
        key = keys[-1]
        if args.kept:
            with open(args.kept, encoding="utf-8", newline="") as file:
                kept = kept_checkpoint(file.read(), keys, args.kept)
    except (OSError, UnicodeDecodeError, Refused) as why:
        print(f"error: {why}", file=sys.stderr)
        return 2
    try:
        signed, old, events, *day = check(data, key)
        if kept is not None:
            check_kept(kept, signed, old)
    except Refused as why:
        print(json.dumps({"holds": False, "why": [str(why)]}) if args.json else f"REFUSED: {why}")
        return 1
    if day:
        print_day(args, signed, *day)
        return 0
    events = with_tickers(events)
    if args.json:
        print(json.dumps({"holds": True, "checkpoint": described(signed), "old": described(old),
                          "events": events}))
        return 0
    for event in events:
        print(line(event))
    what = f"{len(events):,} events, in the log"
    if old is not None:
        print(f"what was signed at {old.size} pages is the beginning of it")
        what = "the log"
    print(f"HOLDS: {what} {signed.origin} of {signed.size} pages, root {signed.root.hex()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
