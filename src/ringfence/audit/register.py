"""The register at rest: encrypted to the auditor's public key, so that whoever trains cannot read it. Its object's digest is the commitment."""

from __future__ import annotations

import tink
from pydantic import ValidationError
from tink import hybrid, json_proto_keyset_format, proto_keyset_format, secret_key_access

from ringfence.audit.settings import Register
from ringfence.core.digest import canonical, parse_canonical
from ringfence.core.errors import NotCanonical, RegisterBroken

FILE = "register"  # the one file of the object

hybrid.register()


def seal(register: Register, *, auditor: str, slot: str) -> bytes:
    """Return the register as only the auditor can read it.

    auditor: the public keyset, Tink's JSON. slot: of the object that will hold it; it opens nowhere else.
    """
    key = json_proto_keyset_format.parse_without_secret(auditor).primitive(hybrid.HybridEncrypt)
    sealed: bytes = key.encrypt(canonical(register.model_dump(mode="json")), _context(slot))
    return sealed


def unseal(data: bytes, *, auditor: bytes, slot: str) -> Register:
    """Return the register. auditor: the private keyset, as `vault.keys.auditor_keyset` returns it.

    Raises: RegisterBroken.
    """
    try:
        key = proto_keyset_format.parse(auditor, secret_key_access.TOKEN).primitive(hybrid.HybridDecrypt)
        return Register.model_validate(parse_canonical(key.decrypt(data, _context(slot))))
    except (tink.TinkError, ValidationError, NotCanonical) as cause:
        raise RegisterBroken from cause


def _context(slot: str) -> bytes:
    return f"ringfence/1|register|{slot}".encode()
