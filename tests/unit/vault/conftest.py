from __future__ import annotations

import pytest

from ringfence.vault.keys import KeyStore
from ringfence.vault.store import Store
from tests.unit.vault.vault_tools import AUDITOR, CHEAP, PASS, TENANT, new_key, new_slot


@pytest.fixture
def key():
    return new_key()


@pytest.fixture
def slot(tmp_path):
    return new_slot(tmp_path)


@pytest.fixture
def keys(tmp_path):
    return KeyStore.create(tmp_path / "keys", PASS, tenant=TENANT, auditor=AUDITOR, cost=CHEAP)


@pytest.fixture
def store(tmp_path):
    (tmp_path / "space").mkdir()
    return Store(tmp_path / "space" / "vault")
