"""The noise has the normal law and nobody can repeat it."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from scipy.stats import chi2, kstest

from ringfence.privacy import keystream
from ringfence.privacy.keystream import Keystream
from ringfence.privacy.noise import SecureNoise
from ringfence.privacy.sampler import PoissonSampler

ALARM = 1e-6  # chance that honest noise fails a test


def test_noise_is_normal_in_every_part():
    drawn = SecureNoise().normal(1_000_000)
    assert kstest(drawn, "norm").pvalue > ALARM
    edges = np.sort(drawn[:100_000])
    assert abs(drawn.std() - 1) < 5 / np.sqrt(2 * len(drawn))  # a noise that is 1 % too small shows
    assert abs(drawn.mean()) < 5 / np.sqrt(len(drawn))
    assert -6 < edges[0] < -3.5
    assert 3.5 < edges[-1] < 6


def test_numbers_are_independent_of_those_before_them():
    drawn = SecureNoise().normal(400_000)
    for lag in (1, 2, 200_000, (1 << 18)):
        a, b = drawn[:-lag], drawn[lag:]
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(len(a))
    cosine, sine = SecureNoise().normal(2 << 18).reshape(2, -1)  # of one block: both halves of the same pairs
    assert abs(np.corrcoef(cosine**2, sine**2)[0, 1]) < 5 / np.sqrt(cosine.size)


def test_the_stream_is_uniform_in_every_bit():
    words = Keystream().words(200_000)
    for bit in range(64):
        ones = int(((words >> np.uint64(bit)) & np.uint64(1)).sum())
        assert abs(ones - 100_000) < 6 * np.sqrt(50_000)
    counts = np.bincount((words >> np.uint64(56)).astype(int), minlength=256)
    assert chi2.sf(((counts - 200_000 / 256) ** 2 / (200_000 / 256)).sum(), 255) > ALARM


def test_odd_counts_and_none():
    assert SecureNoise().normal(3).shape == (3,)
    assert SecureNoise().normal(0).shape == (0,)


def test_no_two_processes_share_noise_and_nothing_takes_a_seed():
    program = "from ringfence.privacy.noise import SecureNoise; print(SecureNoise().normal(4).tolist())"
    outputs = {subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout for _ in range(2)}
    assert len(outputs) == 2
    for source in (SecureNoise, Keystream):
        assert not set(inspect.signature(source).parameters)
    assert set(inspect.signature(PoissonSampler).parameters) == {"units", "rate", "most"}


def test_the_stream_is_aes_256_of_a_counter_under_a_whole_key_of_the_system(monkeypatch):
    """NIST SP 800-38A, CTR mode, written out: every byte of the key comes from the system, and no block comes twice."""
    key = bytes(range(7, 39))
    asked = []
    monkeypatch.setattr(keystream.os, "urandom", lambda size: asked.append(size) or key[:size])
    words = Keystream().words(64)
    assert asked == [32]
    block = Cipher(AES(key), ECB()).encryptor()
    assert words.tobytes() == b"".join(block.update(counter.to_bytes(16, "big")) for counter in range(32))


def test_the_tail_reaches_as_far_as_a_double_lets_it(monkeypatch):
    """The least uniform number is 2^-65. With fewer bits the noise would end sooner, and a sum beyond that end gives a unit away."""
    noise = SecureNoise()
    monkeypatch.setattr(noise._stream, "words", lambda count: np.zeros(count, dtype=np.uint64))
    assert math.isclose(noise.normal(2)[0], math.sqrt(130 * math.log(2)), rel_tol=1e-12)
