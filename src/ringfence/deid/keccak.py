"""Keccak-256, which Ethereum uses; SHA3-256 of the standard library pads in another way."""

from __future__ import annotations

_RATE = 136  # bytes of a block: 200 - 2 x 32
_LANE = (1 << 64) - 1
_TURNS = ((0, 36, 3, 41, 18), (1, 44, 10, 45, 2), (62, 6, 43, 15, 61), (28, 55, 25, 21, 56), (27, 20, 39, 8, 14))  # bits, [x][y]


def _round_constants() -> tuple[int, ...]:
    """Return the constants of the 24 rounds. Source: FIPS 202, §3.2.5."""
    constants, state = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            constant |= (state & 1) << ((1 << j) - 1)
            state = (state << 1) ^ (0x171 if state & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


_CONSTANTS = _round_constants()


def keccak256(data: bytes, *, padding: int = 0x01) -> bytes:
    """Return the digest with the padding of the first Keccak; with 0x06 it is SHA3-256. Source: FIPS 202, §3, §5 and B.2."""
    padded = bytearray([*data, padding, *bytes(-(len(data) + 1) % _RATE)])
    padded[-1] |= 0x80
    lanes = [[0] * 5 for _ in range(5)]
    for start in range(0, len(padded), _RATE):
        for i in range(_RATE // 8):
            lanes[i % 5][i // 5] ^= int.from_bytes(padded[start + 8 * i : start + 8 * i + 8], "little")
        lanes = _permuted(lanes)
    return b"".join(lanes[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


def _permuted(a: list[list[int]]) -> list[list[int]]:
    for constant in _CONSTANTS:
        c = [row[0] ^ row[1] ^ row[2] ^ row[3] ^ row[4] for row in a]
        d = [c[x - 1] ^ _turned(c[(x + 1) % 5], 1) for x in range(5)]
        b = [[0] * 5 for _ in range(5)]
        for x in range(5):
            for y in range(5):
                b[y][(2 * x + 3 * y) % 5] = _turned(a[x][y] ^ d[x], _TURNS[x][y])
        a = [[b[x][y] ^ (~b[(x + 1) % 5][y] & b[(x + 2) % 5][y]) for y in range(5)] for x in range(5)]
        a[0][0] ^= constant
    return a


def _turned(lane: int, bits: int) -> int:
    return ((lane << bits) | (lane >> (64 - bits))) & _LANE
