"""XXH3 (64 and 128 bits, seed 0) in plain Python, and BLAKE3 from primitives.py.

Used by preflight.py where the packages `xxhash` and `blake3` are missing; some
hundred times slower. `python3 hashes.py` compares with `xxhash` if it is there.
"""

import struct

from primitives import blake3_hash as blake3_short

M64 = (1 << 64) - 1
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MX1, MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)


def r32(b, at):
    return struct.unpack_from("<I", b, at)[0]


def r64(b, at):
    return struct.unpack_from("<Q", b, at)[0]


def swap64(v):
    return int.from_bytes(v.to_bytes(8, "little"), "big")


def rotl64(v, n):
    return ((v << n) | (v >> (64 - n))) & M64


def fold(a, b):
    product = a * b
    return (product & M64) ^ (product >> 64)


def avalanche(h):
    h ^= h >> 37
    h = h * MX1 & M64
    return h ^ (h >> 32)


def avalanche_old(h):
    h ^= h >> 33
    h = h * P64_2 & M64
    h ^= h >> 29
    h = h * P64_3 & M64
    return h ^ (h >> 32)


def mix16(b, at, s):
    return fold(r64(b, at) ^ r64(SECRET, s), r64(b, at + 8) ^ r64(SECRET, s + 8))


def mix32(lo, hi, b, one, two, s):
    lo = (lo + mix16(b, one, s)) & M64 ^ ((r64(b, two) + r64(b, two + 8)) & M64)
    hi = (hi + mix16(b, two, s + 16)) & M64 ^ ((r64(b, one) + r64(b, one + 8)) & M64)
    return lo, hi


def long_lanes(b):
    """The eight accumulators of an input of more than 240 bytes."""
    acc = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]
    keys = [struct.unpack_from("<8Q", SECRET, 8 * n) for n in range(16)]
    end, last = struct.unpack_from("<8Q", SECRET, 128), struct.unpack_from("<8Q", SECRET, 121)

    def stripe(at, key):
        data = struct.unpack_from("<8Q", b, at)
        for i in range(8):
            keyed = data[i] ^ key[i]
            acc[i ^ 1] = (acc[i ^ 1] + data[i]) & M64
            acc[i] = (acc[i] + (keyed & 0xFFFFFFFF) * (keyed >> 32)) & M64

    blocks = (len(b) - 1) // 1024
    for block in range(blocks):
        for n in range(16):
            stripe(1024 * block + 64 * n, keys[n])
        for i in range(8):
            acc[i] = (acc[i] ^ (acc[i] >> 47) ^ end[i]) * P32_1 & M64
    for n in range((len(b) - 1 - 1024 * blocks) // 64):
        stripe(1024 * blocks + 64 * n, keys[n])
    stripe(len(b) - 64, last)
    return acc


def merge(acc, s, start):
    for i in range(4):
        start += fold(acc[2 * i] ^ r64(SECRET, s + 16 * i), acc[2 * i + 1] ^ r64(SECRET, s + 16 * i + 8))
    return avalanche(start & M64)


def tiny(b):
    return (b[0] << 16) | (b[len(b) >> 1] << 24) | b[-1] | (len(b) << 8)


def xxh3_64(b):
    n = len(b)
    if n == 0:
        return avalanche_old(r64(SECRET, 56) ^ r64(SECRET, 64))
    if n <= 3:
        return avalanche_old(tiny(b) ^ r32(SECRET, 0) ^ r32(SECRET, 4))
    if n <= 8:
        h = (r32(b, n - 4) + (r32(b, 0) << 32)) ^ r64(SECRET, 8) ^ r64(SECRET, 16)
        h ^= rotl64(h, 49) ^ rotl64(h, 24)
        h = h * MX2 & M64
        h ^= (h >> 35) + n
        h = h * MX2 & M64
        return h ^ (h >> 28)
    if n <= 16:
        lo = r64(b, 0) ^ r64(SECRET, 24) ^ r64(SECRET, 32)
        hi = r64(b, n - 8) ^ r64(SECRET, 40) ^ r64(SECRET, 48)
        return avalanche((n + swap64(lo) + hi + fold(lo, hi)) & M64)
    if n <= 128:
        acc = n * P64_1
        for i in range((n - 1) // 32 + 1):
            acc += mix16(b, 16 * i, 32 * i) + mix16(b, n - 16 * (i + 1), 32 * i + 16)
        return avalanche(acc & M64)
    if n <= 240:
        acc = n * P64_1 + sum(mix16(b, 16 * i, 16 * i) for i in range(8))
        acc = avalanche(acc & M64)
        acc += sum(mix16(b, 16 * i, 16 * (i - 8) + 3) for i in range(8, n // 16))
        return avalanche((acc + mix16(b, n - 16, 119)) & M64)
    return merge(long_lanes(b), 11, n * P64_1)


def xxh3_128(b):
    lo, hi = halves(b)
    return (hi << 64) | lo


def halves(b):
    n = len(b)
    if n == 0:
        return (avalanche_old(r64(SECRET, 64) ^ r64(SECRET, 72)),
                avalanche_old(r64(SECRET, 80) ^ r64(SECRET, 88)))
    if n <= 3:
        low = tiny(b)
        high = int.from_bytes(low.to_bytes(4, "little"), "big")
        high = ((high << 13) | (high >> 19)) & 0xFFFFFFFF
        return (avalanche_old(low ^ r32(SECRET, 0) ^ r32(SECRET, 4)),
                avalanche_old(high ^ r32(SECRET, 8) ^ r32(SECRET, 12)))
    if n <= 8:
        keyed = (r32(b, 0) + (r32(b, n - 4) << 32)) ^ r64(SECRET, 16) ^ r64(SECRET, 24)
        product = keyed * (P64_1 + (n << 2))
        lo, hi = product & M64, (product >> 64) & M64
        hi = (hi + (lo << 1)) & M64
        lo ^= hi >> 3
        lo ^= lo >> 35
        lo = lo * MX2 & M64
        return lo ^ (lo >> 28), avalanche(hi)
    if n <= 16:
        first, last = r64(b, 0), r64(b, n - 8)
        product = (first ^ last ^ r64(SECRET, 32) ^ r64(SECRET, 40)) * P64_1
        lo, hi = (product + ((n - 1) << 54)) & M64, product >> 64
        last ^= r64(SECRET, 48) ^ r64(SECRET, 56)
        hi = (hi + last + (last & 0xFFFFFFFF) * (P32_2 - 1)) & M64
        lo ^= swap64(hi)
        product = lo * P64_2
        return avalanche(product & M64), avalanche(((product >> 64) + hi * P64_2) & M64)
    if n <= 240:
        lo, hi = n * P64_1 & M64, 0
        if n <= 128:
            for i in reversed(range((n - 1) // 32 + 1)):
                lo, hi = mix32(lo, hi, b, 16 * i, n - 16 * (i + 1), 32 * i)
        else:
            for i in range(0, 128, 32):
                lo, hi = mix32(lo, hi, b, i, i + 16, i)
            lo, hi = avalanche(lo), avalanche(hi)
            for i in range(160, n + 1, 32):
                lo, hi = mix32(lo, hi, b, i - 32, i - 16, i - 157)
            lo, hi = mix32(lo, hi, b, n - 16, n - 32, 103)
        high = lo * P64_1 + hi * P64_4 + n * P64_2
        return avalanche((lo + hi) & M64), -avalanche(high & M64) & M64
    acc = long_lanes(b)
    return merge(acc, 11, n * P64_1), merge(acc, 117, ~(n * P64_2) & M64)


if __name__ == "__main__":
    empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert blake3_short(b"").hex() == empty
    try:
        import xxhash
    except ImportError:
        raise SystemExit("xxhash is not there to compare with")
    noise = bytes((i * i * 7 + i * 13 + (i >> 3)) & 255 for i in range(5000))
    for size in list(range(400)) + [1023, 1024, 1025, 2048, 2049, 4999]:
        part = noise[:size]
        assert xxh3_64(part) == xxhash.xxh3_64_intdigest(part), size
        assert xxh3_128(part) == xxhash.xxh3_128_intdigest(part), size
    print("406 lengths agree")
