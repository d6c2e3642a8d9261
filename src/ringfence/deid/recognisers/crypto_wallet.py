"""Addresses of cryptocurrency wallets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw
from ringfence.deid.keccak import keccak256
from ringfence.deid.recogniser import CHECKED, RECOGNISERS, SHAPE, Shaped, Span, stands_alone
from ringfence.deid.specimen import Specimen, framed

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VERSIONS = frozenset({0x00, 0x05, 0x41})  # Bitcoin P2PKH and P2SH, Tron
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_END, _BECH32M_END = 1, 0x2BC830A3
_FIRST_LENGTHS, _LENGTHS = (20, 32), range(2, 41)  # bytes of a witness program: of version 0, of the others
_SEGWIT = re.compile(r"bc1[02-9ac-hj-np-z]{11,71}|BC1[02-9AC-HJ-NP-Z]{11,71}")
_ETHEREUM = re.compile(r"0x[0-9A-Fa-f]{40}")
_DRAWN = 8  # bytes of a stand-in's hash that are drawn; those before them are zero


@RECOGNISERS.add("crypto-wallet.v1")
class CryptoWallet(Shaped):
    """Bitcoin (1…, 3…, bc1…), Tron (T…) and Ethereum (0x…) addresses whose check is right; Ethereum's in one case have none."""

    kinds = frozenset({"CRYPTO_WALLET"})
    example = "0x52908400098527886E0F7030069857D2E4169EE7"
    pattern: ClassVar[str] = r"[13T][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[02-9ac-hj-np-z]{11}|BC1[02-9AC-HJ-NP-Z]{11}|0x[0-9A-Fa-f]{40}"

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the address if it is whole and passes its check."""
        if segwit := _SEGWIT.match(text, start):
            end = segwit.end()
        value = text[start:end]
        if not stands_alone(text, start, end):
            return ()
        if value.startswith("0x"):
            has_check = not (value[2:].islower() or value[2:].isupper() or value[2:].isdigit())
            is_right = with_checksum(value) == value if has_check else value[2:].strip("0") != ""
            return (Span(start, end, "CRYPTO_WALLET", CHECKED if has_check else SHAPE),) if is_right else ()
        is_right = segwit_program(value) is not None if segwit else from_base58check(value) is not None
        return (Span(start, end, "CRYPTO_WALLET", CHECKED),) if is_right else ()

    def normalise(self, value: str) -> str:
        """Return Ethereum and bc1 addresses in lower case; in base 58 the case counts."""
        return value.lower() if value[:2].lower() in ("0x", "bc") else value

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        data = draw.randbytes(20)
        made = draw.choice(
            (
                lambda: with_checksum("0x" + data.hex()),
                lambda: "0x" + data.hex(),
                lambda: to_base58check(b"\x00" + data),
                lambda: to_base58check(b"\x05" + data),
                lambda: to_base58check(b"\x41" + data),
                lambda: to_segwit(0, data),
                lambda: to_segwit(1, data + draw.randbytes(12)),
            )
        )()
        return framed("CRYPTO_WALLET", draw.choice(("", "钱包地址：", "wallet ", "BTC/ETH: ")), made)

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return an address of the same form, right check included, of a hash of zeros up to the last eight bytes.

        It takes 2^96 tries and more to find a key whose hash begins with twelve zero bytes, so nobody holds one.
        """
        drawn = draw.text("0123456789abcdef", 2 * _DRAWN)
        if _ETHEREUM.fullmatch(value):
            made = "0" * (40 - len(drawn)) + drawn
            return f"0x{made}" if value[2:].islower() else f"0x{made.upper()}" if value[2:].isupper() else with_checksum(f"0x{made}")
        if program := segwit_program(value):
            version, data = program
            made = to_segwit(version, bytes(len(data) - _DRAWN) + bytes.fromhex(drawn))
            return made.upper() if value.isupper() else made
        if payload := from_base58check(value):
            return to_base58check(payload[:1] + bytes(20 - _DRAWN) + bytes.fromhex(drawn))
        return draw.scramble(value)


def with_checksum(address: str) -> str:
    """Return an Ethereum address with the case of its letters as check. Source: EIP-55."""
    digits = address[2:].lower()
    digest = keccak256(digits.encode()).hex()
    return "0x" + "".join(c.upper() if int(d, 16) > 7 else c for c, d in zip(digits, digest, strict=False))  # noqa: PLR2004  EIP-55


def from_base58check(value: str) -> bytes | None:
    """Return version and hash of an address, None if the check is wrong. Source: the Bitcoin developer reference, Base58Check."""
    number = 0
    for c in value:
        number = number * 58 + _BASE58.index(c) if c in _BASE58 else 1 << 200
    if number >= 1 << 200:
        return None
    raw = number.to_bytes(25, "big")
    zeros = len(raw) - len(raw.lstrip(b"\x00"))
    payload, check = raw[:-4], raw[-4:]
    is_right = zeros == len(value) - len(value.lstrip("1")) and payload[0] in _VERSIONS and _twice(payload) == check
    return payload if is_right else None


def to_base58check(payload: bytes) -> str:
    """Return the address of version and hash."""
    raw = payload + _twice(payload)
    number, characters = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        characters = _BASE58[digit] + characters
    return "1" * (len(raw) - len(raw.lstrip(b"\x00"))) + characters


def _twice(payload: bytes) -> bytes:
    return sha256(sha256(payload).digest()).digest()[:4]


def segwit_program(value: str) -> tuple[int, bytes] | None:
    """Return version and witness program of a bc1 address, None if its check or a length is wrong. Source: BIP-173, BIP-350."""
    if not _SEGWIT.fullmatch(value):
        return None
    data = [_BECH32.index(c) for c in value[3:].lower()]
    version, words = data[0], data[1:-6]
    if _polymod(data) != (_BECH32M_END if version else _BECH32_END):
        return None
    bits = 0
    for word in words:
        bits = bits << 5 | word
    spare = 5 * len(words) % 8
    program = (bits >> spare).to_bytes(5 * len(words) // 8, "big")
    is_whole = spare < 5 and not bits & ((1 << spare) - 1) and version <= 16  # noqa: PLR2004  BIP-173
    return (version, program) if is_whole and len(program) in (_LENGTHS if version else _FIRST_LENGTHS) else None


def to_segwit(version: int, program: bytes) -> str:
    """Return the bc1 address of a witness program."""
    count = -(-8 * len(program) // 5)
    bits = int.from_bytes(program, "big") << (5 * count - 8 * len(program))
    data = [version, *(bits >> 5 * (count - 1 - i) & 31 for i in range(count))]
    rest = _polymod([*data, *[0] * 6]) ^ (_BECH32M_END if version else _BECH32_END)
    return "bc1" + "".join(_BECH32[d] for d in [*data, *(rest >> 5 * (5 - i) & 31 for i in range(6))])


def _polymod(data: list[int]) -> int:
    """Return the remainder of the human-readable part `bc` and `data`."""
    rest = 1
    for value in [3, 3, 0, 2, 3, *data]:
        top, rest = rest >> 25, (rest & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(_GENERATORS):
            rest ^= generator if top >> i & 1 else 0
    return rest
