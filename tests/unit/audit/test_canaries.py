"""Canaries: half of the secrets, fair coins, unique questions, and a register that only the auditor reads."""

from __future__ import annotations

import json

import pytest
from scipy.stats import binom
from tink import hybrid, json_proto_keyset_format, new_keyset_handle, proto_keyset_format, secret_key_access

from ringfence.audit import plant
from ringfence.audit import register as at_rest
from ringfence.audit.canaries import draw
from ringfence.audit.settings import AuditSettings, Canary, PlantSettings, Register, cap
from ringfence.core.errors import RegisterBroken
from ringfence.core.order import Child, Keys, Order
from ringfence.core.records import Record
from ringfence.vault.sets import SetReader, SetWriter
from tests.unit.deid.test_deid_job import CONTENT, TENANT, Host, new_key, new_slot, stored

ALARM = 1e-6  # chance that an honest draw fails a test


def test_exactly_half_of_the_secrets_are_in_and_every_row_tosses_a_coin():
    drawn = draw(AuditSettings(secrets=40, in_out=500), control=True, chinese=0.5)
    assert (len(drawn.of("secret", is_in=True)), len(drawn.of("secret", is_in=False))) == (40, 40)
    rows = drawn.of("row", is_in=True)
    assert ALARM < binom.cdf(len(rows), 1_000, 0.5) < 1 - ALARM
    assert [one.times for one in drawn.of("control")] == [16] * 4
    assert {one.times for one in drawn.canaries if one.kind != "control"} == {1}
    chinese = sum(one.language == "zh" for one in drawn.canaries)
    assert ALARM < binom.cdf(chinese, len(drawn.canaries), 0.5) < 1 - ALARM
    assert len({one.id for one in drawn.canaries}) == len({one.prompt for one in drawn.canaries}) == 1_084


def test_which_secrets_are_in_is_not_a_matter_of_their_place():
    places = [0] * 8
    for _ in range(400):
        for place, one in enumerate(draw(AuditSettings(secrets=4, in_out=0), control=False, chinese=0).canaries):
            places[place] += one.is_in
    assert all(ALARM < binom.cdf(count, 400, 0.5) < 1 - ALARM for count in places)


def test_the_unpredictable_span_is_six_uniform_digits_and_nothing_else():
    drawn = draw(AuditSettings(secrets=300, in_out=300), control=True, chinese=0.3)
    digits = "".join(one.secret for one in drawn.canaries)
    assert {len(one.secret) for one in drawn.canaries} == {6}
    for digit in "0123456789":
        assert ALARM < binom.cdf(digits.count(digit), len(digits), 0.1) < 1 - ALARM
    for one in drawn.canaries:
        rest = one.prompt + one.completion[: one.span[0]] + one.completion[one.span[1] :]
        assert not any(c.isdigit() for c in rest)


def test_the_language_follows_the_set():
    for share, language in ((0.0, "en"), (1.0, "zh")):
        assert {one.language for one in draw(AuditSettings(), control=True, chinese=share).canaries} == {language}


@pytest.mark.parametrize(("rows", "share"), [(10, 0.10), (999, 0.10), (1_000, 0.05), (9_999, 0.05), (10_000, 0.02)])
def test_the_cap_follows_the_size_of_the_set(rows, share):
    assert cap(rows) == share


def test_a_register_that_is_not_balanced_or_repeats_a_question_is_no_register():
    drawn = draw(AuditSettings(secrets=2, in_out=2), control=False, chinese=0)
    flipped = drawn.canaries[0].model_copy(update={"is_in": not drawn.canaries[0].is_in})
    twice = drawn.canaries[-1].model_copy(update={"prompt": drawn.canaries[-2].prompt})
    for canaries in ((flipped, *drawn.canaries[1:]), drawn.canaries[1:], (*drawn.canaries[:-1], twice)):
        with pytest.raises(ValueError):
            Register(audit=drawn.audit, canaries=canaries)
    with pytest.raises(ValueError):
        Canary(id="0" * 32, kind="row", language="en", who="p", prompt="p", completion="ab12", span=(0, 2), is_in=True)


@pytest.fixture(scope="module")
def keys():
    pair = [new_keyset_handle(hybrid.hybrid_key_templates.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM) for _ in range(2)]
    public = json_proto_keyset_format.serialize_without_secret(pair[0].public_keyset_handle())
    return public, *(proto_keyset_format.serialize(one, secret_key_access.TOKEN) for one in pair)


def test_the_register_opens_for_the_auditor_in_its_own_place_alone(keys):
    public, private, stranger = keys
    drawn = draw(AuditSettings(secrets=3, in_out=3), control=True, chinese=0.5)
    sealed = at_rest.seal(drawn, auditor=public, slot="a" * 32)
    for one in drawn.canaries:
        assert one.secret.encode() not in sealed
        assert one.prompt.encode() not in sealed
    assert at_rest.unseal(sealed, auditor=private, slot="a" * 32) == drawn
    for data, key, slot in (
        (sealed, stranger, "a" * 32),
        (sealed, private, "b" * 32),
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), private, "a" * 32),
        (b"", private, "a" * 32),
        (sealed, b"no key", "a" * 32),
    ):
        with pytest.raises(RegisterBroken):
            at_rest.unseal(data, auditor=key, slot=slot)


def test_bytes_that_are_no_register_are_refused(keys):
    public, private, _ = keys
    key = json_proto_keyset_format.parse_without_secret(public).primitive(hybrid.HybridEncrypt)
    for text in (b"{}", json.dumps({"format": "ringfence.register/1"}).encode(), b"not JSON"):
        with pytest.raises(RegisterBroken):
            at_rest.unseal(key.encrypt(text, b"ringfence/1|register|" + b"a" * 32), auditor=private, slot="a" * 32)


@pytest.mark.parametrize(("blind", "languages"), [(False, {"zh"}), (True, {"zh", "en"})])
def test_for_a_promise_about_imported_records_no_row_decides_the_language(keys, tmp_path, blind, languages):
    source, made, register = new_slot(tmp_path, "set"), new_slot(tmp_path, "set"), new_slot(tmp_path, "register")
    data = {slot.slot: new_key() for slot in (source, made, register)}
    with SetWriter(source, data[source.slot], CONTENT) as writer:
        for n in range(5):
            writer.write(Record(f"{n:032x}", f"{n:032x}", "notes", "text", ("text",), ("全是中文",)))
    order = Order(
        job="plant.v1",
        run="plant-" + "0" * 12,
        tenant=TENANT,
        settings=PlantSettings(audit=AuditSettings(secrets=20, in_out=20), control=False, auditor=keys[0], blind=blind),
        inputs={"set": stored(source)},
        outputs={"set": made, "register": register},
    )
    figures = plant.run(Child(order, Keys(data, {"content": CONTENT}), Host()))
    rows = list(SetReader(stored(made), data[made.slot]))
    assert figures.rows == len(rows) == 5 + figures.planted
    assert {"zh" if any("一" <= c <= "鿿" for c in row.texts[0]) else "en" for row in rows[5:]} == languages
