"""BLAKE3 and Ed25519 for verify.py, and BLAKE3 for hashes.py.

In plain Python; use_installed_modules puts `blake3` and `cryptography` in its
place where they are installed. No module gives the nodes of BLAKE3's tree, from
which a page shown in part is put together: these are always computed here.
self_test.py has the published vectors.
"""

import hashlib
import struct

# --- BLAKE3 -------------------------------------------------------------------

CHUNK = 1024
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
      0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
MIXED = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT, CONTEXT, DERIVED = 1, 2, 4, 8, 32, 64
MASK = 0xFFFFFFFF

FAST = {}


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


def parent_value(left, right, root=False, cv=IV, mode=0):
    flags = mode | PARENT | (ROOT if root else 0)
    return struct.pack("<8I", *compress(cv, left + right, 0, flags))


def split(n):
    """Largest power of two below n, which is at least 2: the leaves on the left,
    in the tree of BLAKE3 as in that of a log."""
    return 1 << ((n - 1).bit_length() - 1)


def _whole(data, cv=IV, mode=0):
    def tree(first, last, root):
        if last - first == 1:
            return chunk_value(data[first * CHUNK:last * CHUNK], first, root, cv, mode)
        middle = first + split(last - first)
        left, right = tree(first, middle, False), tree(middle, last, False)
        return parent_value(left, right, root, cv, mode)

    return tree(0, max(1, -(-len(data) // CHUNK)), True)


def blake3_hash(data):
    return FAST["blake3"](data).digest() if "blake3" in FAST else _whole(data)


def blake3_derived(context, data):
    """BLAKE3 under a context of its own."""
    if "blake3" in FAST:
        return FAST["blake3"](data, derive_key_context=context).digest()
    key = struct.unpack("<8I", _whole(context.encode(), IV, CONTEXT))
    return _whole(data, key, DERIVED)


# --- Ed25519 (RFC 8032) -------------------------------------------------------

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
    """Strict, which modules are not alike: a key written in the one way and not
    of small order, under which a signature would be good for many texts."""
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


# --- Modules that are installed -----------------------------------------------

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
