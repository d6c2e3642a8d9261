"""Random bytes that nobody can repeat: AES-256 in counter mode under a key from the operating system, kept nowhere."""

from __future__ import annotations

import os

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray


class Keystream:
    """A cryptographically secure stream. It takes no seed: two streams never agree, and none can be continued by another process.

    Source: NIST SP 800-38A, CTR mode. One key serves 2^64 bytes at most; a run draws far fewer.
    """

    def __init__(self) -> None:
        self._encrypt = Cipher(AES(os.urandom(32)), CTR(bytes(16))).encryptor()

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return `count` uniform 64-bit words."""
        return np.frombuffer(self._encrypt.update(bytes(8 * count)), dtype="<u8")
