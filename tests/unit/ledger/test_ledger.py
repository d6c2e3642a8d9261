from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.digest import canonical
from ringfence.core.errors import AlreadyExists, BadArgument, EntryTooLarge, LedgerBroken, LedgerUnavailable, NotCanonical, SignatureInvalid
from ringfence.core.protocols import Recorder
from ringfence.ledger.checkpoint import Checkpoint
from ringfence.ledger.log import Ledger, verify_log, verify_proof
from ringfence.ledger.merkle import HashTree, is_consistent, leaf_hash
from ringfence.ledger.proof import Proof
from ringfence.ledger.tiles import grown_tiles, unpack

STRANGER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_entries_come_back_in_order(make):
    log: Recorder = make.log()
    entries = [{"type": "intent", "run": "deid-00", "名": "值", "n": [1, 2.5, None, True]}, {}, {"b": 1, "a": 2}]
    assert [log.record(entry) for entry in entries] == [0, 1, 2]
    again = make.open()
    assert list(again.entries()) == list(enumerate(entries))
    assert list(again.entries(2)) == [(2, entries[2])]
    assert list(again.entries(3)) == list(again.entries(9)) == []
    assert again.raw(2) == b'{"a":2,"b":1}'
    assert (again.size, again.root) == (3, log.root)


def test_an_empty_log_opens_and_verifies(make):
    make.log()
    assert make.open().size == verify_log(make.folder / "ledger", make.origin, make.public) == 0
    assert list(make.open().entries()) == []
    assert make.log("other").record_many([]) == []


def test_the_files_are_those_of_tlog_tiles(make):
    log = make.log(batches=(3, 2))
    assert names(log.folder) == {
        "checkpoint",
        *(f"tile/{level}/000.p/{width}" for level in ("0", "entries") for width in (3, 5)),
    }
    log.record_many([{"n": n} for n in range(300)])
    needed = {tile.path for tile in grown_tiles(0, 305)}
    assert names(log.folder) == {"checkpoint", *needed}
    assert needed == {"tile/0/000", "tile/0/001.p/49", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/49"}
    leaves = [leaf_hash(log.raw(n)) for n in range(305)]
    assert (log.folder / "tile/0/000").read_bytes() == b"".join(leaves[:256])
    assert (log.folder / "tile/0/001.p/49").read_bytes() == b"".join(leaves[256:])
    assert unpack((log.folder / "tile/entries/001.p/49").read_bytes(), 49) == [log.raw(n) for n in range(256, 305)]


def test_the_checkpoint_is_a_signed_note_of_size_and_root(make):
    log = make.log(batches=(7,))
    assert (log.folder / "checkpoint").read_bytes() == log.checkpoint()
    assert Checkpoint.verify(log.checkpoint(), origin=make.origin, public=make.public) == (make.origin, 7, log.root)


def test_any_folder_that_holds_a_log_is_refused(make):
    make.log()
    with pytest.raises(AlreadyExists):
        make.log()
    (make.folder / "half" / "tile").mkdir(parents=True)
    with pytest.raises(AlreadyExists):
        make.log("half")
    (make.folder / "empty").mkdir()
    assert make.log("empty").size == 0


def test_a_wrong_key_or_origin_opens_nothing(make):
    make.log(batches=(3,))
    folder = make.folder / "ledger"
    for origin, public in ((make.origin, STRANGER.public_key()), ("ringfence/other", make.public)):
        with pytest.raises(LedgerBroken, match="signature"):
            Ledger.open(folder, origin=origin, public=public, key=None)
        with pytest.raises(LedgerBroken, match="signature"):
            verify_log(folder, origin, public)
    with pytest.raises(SignatureInvalid):
        Ledger.open(folder, origin=make.origin, public=make.public, key=STRANGER)


def test_a_log_opened_for_reading_records_nothing(make):
    make.log(batches=(3,))
    with pytest.raises(LedgerUnavailable):
        make.open().record({"n": 1})
    assert make.open().size == 3


def test_proofs_of_every_entry_of_every_size_up_to_300_verify_offline(make):
    log = make.log(batches=(300,))
    raws = [log.raw(n) for n in range(300)]
    tree = HashTree()
    for size in range(1, 301):
        tree.extend([raws[size - 1]])
        note = Checkpoint(make.origin, size, tree.root()).sign(make.key)
        for index in {0, size // 3, size - 2, size - 1} & set(range(size)):
            proof = Proof(index, tree.inclusion(index), note).to_bytes()
            assert verify_proof(raws[index], proof, origin=make.origin, public=make.public) == index
    for index in range(300):
        proof = log.prove(index)
        assert verify_proof(raws[index], proof, origin=make.origin, public=make.public) == index
        with pytest.raises(LedgerBroken):
            verify_proof(raws[index - 1], proof, origin=make.origin, public=make.public)


def test_a_proof_is_the_specified_text(make):
    log = make.log(batches=(3,))
    lines = log.prove(2).decode().split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 2"]
    assert lines[3:5] == ["", make.origin]
    assert log.prove(2).endswith(b"\n\n" + log.checkpoint())


def test_no_flipped_byte_of_a_proof_verifies(make):
    log = make.log(batches=(5,))
    proof, entry = log.prove(3), log.raw(3)
    assert verify_proof(entry, proof, origin=make.origin, public=make.public) == 3
    wrong = [proof[:at] + bytes([proof[at] ^ mask]) + proof[at + 1 :] for at in range(len(proof)) for mask in (1, 0x20, 0x80)]
    wrong += [proof[:at] for at in range(len(proof))]
    wrong += [proof.replace(b"index", b"extra AA==\nindex"), proof.replace(b"index 3", b"index 03"), proof + b"\n", b"", b"\n\n"]
    wrong += [proof.replace(b"index 3", b"index 5"), proof.replace(b"index 3", b"index " + b"9" * 30)]
    for data in wrong:
        with pytest.raises((LedgerBroken, SignatureInvalid)):
            verify_proof(entry, data, origin=make.origin, public=make.public)
    with pytest.raises(SignatureInvalid):
        verify_proof(entry, proof, origin=make.origin, public=STRANGER.public_key())
    with pytest.raises(SignatureInvalid):
        verify_proof(entry, proof, origin="ringfence/other", public=make.public)


def test_consistency_proofs_link_old_checkpoints(make):
    log = make.log(batches=(5,))
    old = log.root
    log.record_many([{"n": n} for n in range(400)])
    assert is_consistent(log.consistency(5), old_size=5, old_root=old, size=405, root=log.root)
    assert log.consistency(405) == log.consistency(0) == []


@pytest.mark.parametrize("number", [-1, 3])
def test_an_entry_that_is_not_there_is_named(make, number):
    log = make.log(batches=(3,))
    for ask in (log.raw, log.prove, lambda n: log.consistency(n + 1 if n > 0 else n)):
        with pytest.raises(BadArgument):
            ask(number)


@pytest.mark.parametrize("entry", [{"n": float("nan")}, {"n": {1, 2}}, {"n": "\ud800"}, {2: "a", 10: "b"}])
def test_a_value_that_json_cannot_give_back_is_refused(make, entry):
    log = make.log(batches=(2,))
    with pytest.raises(NotCanonical):
        log.record_many([{"n": 1}, entry])
    assert log.size == make.open().size == 2


def test_the_largest_entry_fits_and_a_larger_one_is_refused(make):
    log = make.log()
    frame = len(canonical({"t": ""}))
    log.record({"t": "x" * (65535 - frame)})
    with pytest.raises(EntryTooLarge) as error:
        log.record({"t": "secret" * 20_000})
    assert "secret" not in str(error.value)
    assert len(make.open().raw(0)) == 65535


def test_a_second_process_is_seen_and_followed(make):
    one = make.log(batches=(250,))
    two = make.open(writable=True)
    assert two.record_many([{"by": "two"}] * 20) == list(range(250, 270))
    assert one.size == 250
    one.refresh()
    assert (one.size, one.root) == (270, two.root)
    two.record({"by": "two"})
    assert one.record({"by": "one"}) == 271  # refreshes first
    assert list(make.open().entries(270)) == [(270, {"by": "two"}), (271, {"by": "one"})]
    assert verify_log(one.folder, make.origin, make.public) == 272


def test_a_refresh_refuses_changed_entries_old_and_new_and_recovers(make):
    one = make.log(batches=(3,))
    make.open(writable=True).record({"n": 3})
    path = one.folder / "tile/entries/000.p/4"
    right = path.read_bytes()
    for number in (b":0", b":3"):  # an entry that `one` knows already, and the new one
        path.write_bytes(right.replace(number, b":7"))
        with pytest.raises(LedgerBroken):
            one.refresh()
        assert one.size == 3
    path.write_bytes(right)
    assert one.record({"n": 4}) == 4
    assert verify_log(one.folder, make.origin, make.public) == 5


def test_a_reader_whose_partial_files_are_gone_reads_on(make):
    make.log(batches=(250,))
    reader = make.open()
    make.open(writable=True).record_many([{"n": n} for n in range(20)])  # fills the tile and removes its partial files
    assert len(list(reader.entries())) == 250
    assert json.loads(reader.raw(249))["n"] == 249


def test_a_rollback_is_seen_by_whoever_knew_more(make):
    log = make.log(batches=(3,))
    old = log.checkpoint()
    log.record({"n": 4})
    (log.folder / "checkpoint").write_bytes(old)
    for act in (log.refresh, lambda: log.record({"n": 5})):
        with pytest.raises(LedgerBroken, match="rolled back"):
            act()


def test_a_rewritten_history_is_seen_by_whoever_knew_the_old_one(make):
    log = make.log(batches=(3,))
    make.log("fork").record_many([{"n": "other"}] * 5)
    for name in names(make.folder / "fork"):
        (log.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (log.folder / name).write_bytes((make.folder / "fork" / name).read_bytes())
    with pytest.raises(LedgerBroken):
        log.refresh()
    assert log.size == 3


def test_an_export_verifies_and_never_overwrites(make):
    log = make.log(batches=(3, 300, 1))
    log.export(make.folder / "copy")
    assert verify_log(make.folder / "copy", make.origin, make.public) == 304
    assert list(make.open("copy").entries()) == list(log.entries())
    with pytest.raises(AlreadyExists):
        log.export(make.folder / "copy")
    with pytest.raises(BadArgument):
        log.export(make.folder / "no" / "such")


def test_an_export_of_a_changed_log_leaves_nothing(make):
    log = make.log(batches=(3,))
    path = log.folder / "tile/entries/000.p/3"
    path.write_bytes(path.read_bytes().replace(b"intent", b"infant"))
    with pytest.raises(LedgerBroken):
        log.export(make.folder / "copy")
    assert not (make.folder / "copy").exists()


HISTORY = st.lists(st.one_of(st.sampled_from((1, 2, 60, 255, 256, 300)), st.sampled_from(["reopen", "refresh"])), max_size=8)


@given(history=HISTORY)
@settings(max_examples=10, deadline=None)
def test_random_histories_keep_every_promise(tmp_path_factory, history):
    folder, key = tmp_path_factory.mktemp("log") / "ledger", STRANGER
    log = Ledger.create(folder, origin="o", key=key)
    tree, said, heads = HashTree(), [], [(0, HashTree().root())]
    for step in history:
        if isinstance(step, int):
            batch = [{"n": len(said) + i, "x": "é" * (i % 7)} for i in range(step)]
            assert log.record_many(batch) == list(range(len(said), len(said) + step))
            said += batch
            tree.extend([canonical(entry) for entry in batch])
            heads.append((len(said), tree.root()))
        elif step == "reopen":
            log = Ledger.open(folder, origin="o", public=key.public_key(), key=key)
        else:
            log.refresh()
    assert (log.size, log.root) == heads[-1]
    assert [entry for _, entry in log.entries()] == said
    assert verify_log(folder, "o", key.public_key()) == len(said)
    for size, root in heads:
        assert is_consistent(log.consistency(size), old_size=size, old_root=root, size=log.size, root=log.root)
