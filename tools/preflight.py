#!/usr/bin/env python3
"""A look at a journal's files before anything opens them, without our code.

    preflight.py DATA           prints the verdict; exit code 0 clean, 1 torn or corrupt
    preflight.py --cases        reads folders (DATA/journal), one a line, answers with JSON

Written from FORMAT.md, section 11, as the second opinion on the check that
`orrery` itself makes. It only reads. `pip install xxhash` makes it fast.
"""

import functools
import json
import os
import re
import stat
import struct
import sys

sys.dont_write_bytecode = True
import hashes  # noqa: E402

try:
    import xxhash
    xxh3_64, xxh3_128 = xxhash.xxh3_64_intdigest, xxhash.xxh3_128_intdigest
except ImportError:
    xxh3_64, xxh3_128 = hashes.xxh3_64, hashes.xxh3_128
try:
    import blake3 as _blake3

    def blake3(data):
        return _blake3.blake3(data).digest()
except ImportError:
    blake3 = functools.lru_cache(maxsize=64)(hashes.blake3_short)

LABEL, PAGE_EVENTS = 64, 4096
FRAME, PAGE, SUMMARY = b"ORRYFRAM", b"ORRYCOLS", b"ORRYSUMM"
SLACK, NUMBERS, SECTOR = 1024, 1 << 56, 512
TAIL = 1 << 20
HASHED_BYTES = 1 << 30
KEYSPACES = 7


class Damage(Exception):
    """Something no crash leaves."""

    def __init__(self, path, offset, what, last_good=None):
        super().__init__(what)
        self.path, self.offset, self.what, self.last_good = path, offset, what, last_good



def read(path):
    with open(path, "rb") as file:
        return file.read()


# Labels and logs


def label(data, at, magics):
    """First and last event of a label, if there is one."""
    if len(data) < at + LABEL or data[at:at + 8] not in magics:
        return None
    count, first = struct.unpack_from("<IQ", data, at + 12)
    if not 1 <= count <= PAGE_EVENTS or not 1 <= first or first + count >= 1 << 64:
        return None
    return first, first + count - 1


def batch(log, at, after=None):
    """Number, events and end of the whole batch at a place, if there is one."""
    if len(log) < at + 13 or log[at] != 1:
        return None
    items, number = struct.unpack_from("<IQ", log, at + 1)
    if after is not None and not after < number <= after + (1 << 32):
        return None
    start, events, at = at + 13, None, at + 13
    for _ in range(items):
        tag = log[at:at + 1]
        if tag == b"\4":
            at += 9
            if at > len(log):
                return None
            continue
        if tag != b"\2" or at + 21 > len(log):
            return None
        kind, packing, keyspace, key, value, stored = struct.unpack_from("<BBQHII", log, at + 1)
        end = at + 21 + key + value
        if kind > 4 or packing or value != stored or keyspace >= 1 << 16 or end > len(log):
            return None
        if key == 8 and value >= LABEL:
            found = label(log, at + 29, (FRAME, PAGE))
            if found and found[0] == int.from_bytes(log[at + 21:at + 29], "big"):
                low, high = events or found
                events = min(low, found[0]), max(high, found[1])
        at = end
    if log[at:at + 1] != b"\3" or log[at + 9:at + 13] != b"FJL\3":
        return None
    if struct.unpack_from("<Q", log, at + 1)[0] != xxh3_64(log[start:at]):
        return None
    return number, events, at + 13


class Progress:
    def __init__(self, flushed):
        self.number = self.first = self.last = None
        self.flushed = set(flushed)


def scan(path, log, progress):
    """Reads a log. Returns (offset, bytes, hole, later) of a torn end."""
    at = before = 0
    while True:
        found = batch(log, at)
        if found is None:
            break
        number, events, end = found
        last = progress.number
        if last is not None and not last < number <= last + SLACK:
            raise Damage(path, at, f"batch number {number} after {last}", progress.last)
        if number > NUMBERS:
            raise Damage(path, at, f"batch number {number} is impossible", progress.last)
        unmet = [n for n in progress.flushed if last is not None and last < n < number]
        progress.flushed.discard(number)
        if unmet:
            what = f"no batch has the number {min(unmet)}, which is in a table"
            raise Damage(path, before, what, progress.last)
        if events:
            first, final = events
            known = final if progress.last is None else progress.last
            if first > known + 1:
                raise Damage(path, at, f"event {first} follows event {known}", progress.last)
            progress.first = first if progress.first is None else min(progress.first, first)
            progress.last = max(known, final)
        progress.number, before, at = number, at, end
    end, hole, blank = at, False, False
    where = at
    while where < len(log):
        size = min(SECTOR - where % SECTOR, len(log) - where)
        used = log[where:where + size].rstrip(b"\0")
        if used:
            end, hole = where + len(used), hole or blank
        else:
            blank = blank or size == SECTOR
        where += size
    if end == at:
        return None
    later, where = False, log.find(b"\1", at + 1, end)
    while where != -1 and not later:
        later = batch(log, where, progress.number or 0) is not None
        where = log.find(b"\1", where + 1, end)
    if later and not hole:
        raise Damage(path, at, "unreadable, although what follows is not", progress.last)
    if not hole and end >= 13 and log[end - 13] == 3 and log[end - 4:end] == b"FJL\3":
        what = "a batch that was written to its end does not match its checksum"
        raise Damage(path, at, what, progress.last)
    return at, end - at, hole, later


def check_logs(logs, progress, acknowledged):
    """Reads all logs; returns the torn end of the last one."""
    torn, before = None, None
    for n, (number, path) in enumerate(logs):
        if before is not None and number != before + 1:
            raise Damage(path, 0, "the log before it is missing")
        before = number
        end = scan(path, read(path), progress)
        if end is None:
            continue
        offset, size, _, later = end
        if n + 1 < len(logs):
            what = "unreadable, although a later log follows"
            raise Damage(path, offset, what, progress.last)
        if later and (acknowledged is None or (progress.last or 0) < acknowledged):
            raise Damage(path, offset, "unreadable, although what follows is not", progress.last)
        torn = path, offset, size
    if logs and progress.number is not None and max(progress.flushed, default=0) > progress.number:
        raise Damage(logs[-1][1], 0, "it ends before what is in tables, as an older copy would")
    return torn


# Tables


def section(contents, name):
    """Position and length of a section."""
    count, = struct.unpack_from("<I", contents, 4)
    at = 8
    for _ in range(count):
        position, length, size = struct.unpack_from("<QQH", contents, at)
        if contents[at + 18:at + 18 + size] == name:
            return position, length
        at += 18 + size
    return None


def named(manifest):
    """Folder, id, hash and what moves the numbers, of each file in a manifest."""
    contents = manifest[manifest.rindex(b"TOC!"):]
    position, length = section(contents, b"tables")
    tables, out, at = manifest[position:position + length], [], 1
    for _ in range(tables[0]):
        runs, at = tables[at], at + 1
        for _ in range(runs):
            count, = struct.unpack_from("<I", tables, at)
            at += 4
            for _ in range(count):
                table, _, low, high, moved = struct.unpack_from("<QBQQQ", tables, at)
                out.append(("tables", table, high << 64 | low, moved))
                at += 33
    position, length = section(contents, b"blob_files")
    blobs, at = manifest[position:position + length], 4
    for _ in range(struct.unpack_from("<I", blobs)[0]):
        blob, _, low, high = struct.unpack_from("<QBQQ", blobs, at)
        out.append(("blobs", blob, high << 64 | low, 0))
        at += 25
    return out


def manifest(folder, wanted):
    """Adds the files that a keyspace's manifest names, which must exist."""
    path = os.path.join(folder, "current")
    if not os.path.isfile(path) or os.path.getsize(path) != 25:
        raise Damage(path, 0, "missing or of another length than 25 bytes")
    version, low, high, kind = struct.unpack("<QQQB", read(path))
    if kind:
        raise Damage(path, 0, "not the name of a manifest")
    name = os.path.join(folder, f"v{version}")
    if not os.path.exists(name):
        if any(re.fullmatch(r"v\+?[0-9]+", other) for other in os.listdir(folder)):
            raise Damage(path, 0, "it names a manifest that is not there")
        raise Damage(name, 0, "the manifest that `current` names is missing")
    data = read(name)
    differ = bin(xxh3_128(data) ^ (high << 64 | low)).count("1")
    if 1 <= differ <= 8:
        raise Damage(path, 0, "its hash of the manifest is damaged")
    if differ:
        raise Damage(name, 0, "the manifest does not match the hash in `current`")
    try:
        files = named(data)
    except (struct.error, IndexError, ValueError, TypeError):
        raise Damage(name, 0, "the manifest cannot be read") from None
    own = os.path.basename(folder) == "0"
    for kind, number, digest, moved in files:
        path = os.path.join(folder, kind, str(number))
        if not os.path.exists(path):
            raise Damage(path, 0, "missing, although the manifest names it")
        counted = kind == "tables" and not moved and not own
        wanted.append((os.path.getsize(path), path, digest, counted))


def last_event(data):
    """The last label in some bytes."""
    at = data.rfind(b"ORRY")
    while at != -1:
        found = label(data, at, (FRAME, PAGE, SUMMARY))
        if found:
            return found[1]
        at = data.rfind(b"ORRY", 0, at + 3)
    return None


def block(table, at):
    """End and data of a whole block."""
    head = table[at:at + 33]
    if len(head) < 33 or head[:4] != b"LSM\3":
        return None
    low, high, size, unpacked, check = struct.unpack_from("<QQIII", head, 5)
    if xxh3_128(head[:29]) & 0xFFFFFFFF != check or at + 33 + size > len(table):
        return None
    data = table[at + 33:at + 33 + size]
    if xxh3_128(data) != high << 64 | low:
        return None
    return at + 33 + size, data if size == unpacked and size <= TAIL else b""


def locate(table):
    """Where the damage begins, and the last event before."""
    at, event = 0, None
    while True:
        found = block(table, at) or (table[at:at + 1] == b"\3" and block(table, at + 1))
        if not found:
            return at, event
        at = found[0]
        event = max(event or 0, last_event(found[1]) or 0) or None


def number(data, at):
    """LEB128."""
    out = shift = 0
    while True:
        byte = data[at]
        out, at, shift = out | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return out, at


def highest(end, skipped):
    """`seqno#max` from the end of a table."""
    trailer = len(end) - 30
    if trailer < 0 or end[trailer:trailer + 4] != b"SFA!":
        return None
    low, high, contents = struct.unpack_from("<QQQ", end, trailer + 6)
    listed = end[contents - skipped:trailer] if contents >= skipped else b""
    if not listed or xxh3_128(listed) != high << 64 | low:
        return None
    position, length = section(listed, b"meta")
    meta = block(end, position - skipped)
    data, at = meta[1], 0
    while data[at] == 0:
        _, at = number(data, at + 1)
        size, at = number(data, at)
        key, at = data[at:at + size], at + size
        size, at = number(data, at)
        value, at = data[at:at + size], at + size
        if key == b"seqno#max":
            return struct.unpack("<Q", value)[0]
    return None


class Tables:
    def __init__(self, keyspaces):
        self.broken = self.stranger = self.event = None
        self.any, self.flushed, wanted = False, set(), []
        for keyspace, folder in keyspaces:
            files, stranger = numbered(os.path.join(folder, "tables"), "", False)
            self.any = self.any or (keyspace != 0 and bool(files))
            self.stranger = self.stranger or stranger
            try:
                manifest(folder, wanted)
            except Damage as damage:
                self.broken = self.broken or damage
        left = HASHED_BYTES
        for size, path, digest, counted in sorted(wanted):
            with open(path, "rb") as file:
                if size <= left:
                    left -= size
                    table = file.read()
                    if xxh3_128(table) != digest:
                        what = "the file does not match the hash in its manifest"
                        offset, event = locate(table)
                        self.broken = self.broken or Damage(path, offset, what, event)
                        continue
                    end = table[-TAIL:]
                else:
                    file.seek(max(0, size - TAIL))
                    end = file.read()
            if not counted:
                continue
            newest = highest(end, size - len(end))
            if newest is not None:
                self.flushed.add(newest)
            self.event = max(self.event or 0, last_event(end) or 0) or None


# Everything


def numbered(folder, ending, folders):
    """What is called by a number, in order; the first thing with another name."""
    out, strangers = [], []
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return out, None
    for entry in entries:
        if not entry.name.endswith(ending):
            continue
        is_folder = entry.is_dir(follow_symlinks=False)
        stem = entry.name[:len(entry.name) - len(ending)]
        good = re.fullmatch(r"\+?[0-9]+", stem) and int(stem) < 1 << 64
        if good and is_folder == folders:
            out.append((int(stem), entry.path))
        elif folders and not is_folder:
            pass
        elif entry.name == ".DS_Store" or entry.name.startswith("._"):
            pass
        else:
            strangers.append(entry.path)
    return sorted(out), min(strangers, default=None)


def head(path):
    """Acknowledged event, why it is not known, harmless damage."""
    if not os.path.exists(path):
        return None, Damage(path, 0, "it is missing"), []
    data = read(path)
    if len(data) != 8192:
        return None, Damage(path, 0, "it has another length than 8,192 bytes"), []
    best, harmless = None, []
    for at in (0, 4096):
        slot = data[at:at + 4096]
        version, = struct.unpack_from("<I", slot, 8)
        whole = slot[:8] == b"ORRYHEAD" and version == 1 and blake3(slot[:96]) == slot[96:128]
        if not whole:
            harmless.append([path, at])
            continue
        count, seq = struct.unpack_from("<QQ", slot, 24)
        if best is None or best[0] <= count:
            best = count, seq
        dirt = slot[128:].lstrip(b"\0")
        if dirt:
            harmless.append([path, at + 4096 - len(dirt)])
    if best is None:
        return None, Damage(path, 0, "neither of its slots is whole"), harmless
    return best[1], None, harmless


def look(folder, report):
    acknowledged, no_head, harmless = head(os.path.join(folder, "HEAD"))
    report.update(acknowledged=acknowledged, harmless=[] if no_head else harmless)
    database = os.path.join(folder, "db")
    if not os.path.exists(database):
        if acknowledged:
            raise Damage(database, 0, "missing, although events were acknowledged")
        return None
    logs, strange_log = numbered(database, ".jnl", False)
    keyspaces, strange_folder = numbered(os.path.join(database, "keyspaces"), "", True)
    tables = Tables(keyspaces)
    progress = Progress(tables.flushed)
    try:
        torn = check_logs(logs, progress, acknowledged)
    finally:
        report["last"] = tables.event if progress.last is None else progress.last
    if logs and progress.first is not None and not (tables.any and tables.event is None):
        if progress.first > (tables.event or 0) + 1:
            what = f"it begins with event {progress.first}, and the tables end with {tables.event}"
            raise Damage(logs[0][1], 0, what, tables.event)
    if no_head and progress.last is None and not tables.any:
        return torn
    if no_head:
        raise no_head
    version = os.path.join(database, "version")
    if os.path.isfile(version) and read(version) in (b"FJL\4", b"FJL\5", b"FJL\6"):
        raise Damage(version, 0, "written by a newer version of the engine")
    if not os.path.isfile(version) or read(version) != b"FJL\3":
        raise Damage(version, 0, "the engine's format mark is missing or another")
    if not logs:
        raise Damage(database, 0, "no log (*.jnl) is left")
    if len(keyspaces) < KEYSPACES:
        raise Damage(os.path.join(database, "keyspaces"), 0, "fewer keyspaces than tables")
    stranger = strange_log or strange_folder or tables.stranger
    if stranger:
        raise Damage(stranger, 0, "not a name that the engine gives")
    if tables.broken:
        raise tables.broken
    return torn


def inspect(folder):
    """The verdict on DATA/journal."""
    report = {"verdict": "clean", "file": None, "offset": 0, "last_good": None, "last": None,
              "acknowledged": None, "harmless": [], "what": ""}
    try:
        torn = look(folder, report)
        if torn:
            report.update(verdict="torn", file=torn[0], offset=torn[1])
    except Damage as damage:
        report.update(verdict="corrupt", file=damage.path, offset=damage.offset,
                      last_good=damage.last_good, what=damage.what)
    return report


def main(arguments):
    if arguments == ["--cases"]:
        for line in sys.stdin:
            try:
                answer = inspect(line.rstrip("\n"))
            except Exception as error:  # One case must not end the others.
                answer = {"verdict": "error", "what": repr(error)}
            print(json.dumps(answer), flush=True)
        return 0
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    if not stat.S_ISDIR(os.stat(arguments[0]).st_mode):
        print("not a folder", file=sys.stderr)
        return 2
    report = inspect(os.path.join(arguments[0], "journal"))
    lost = (report["last"] or 0) < (report["acknowledged"] or 0) and report["last"] is not None
    if report["verdict"] == "clean" and not lost:
        print(f"clean; last event {report['last']}, acknowledged {report['acknowledged']}")
    elif report["verdict"] == "corrupt":
        where = f"{report['file']} at byte {report['offset']}"
        print(f"corrupt: {where}: {report['what']} (last good event {report['last_good']})")
    elif lost:
        print(f"lost: events {report['last'] + 1} to {report['acknowledged']} were acknowledged")
    else:
        print(f"torn: {report['file']} at byte {report['offset']}, as by a crash")
    for path, offset in report["harmless"]:
        print(f"harmless damage: {path} at byte {offset}")
    return 0 if report["verdict"] == "clean" and not lost else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
