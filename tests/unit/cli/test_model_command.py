"""`model import|list|show|verify` as they are typed, in both languages: what people see, what scripts get, which code they end with."""

from __future__ import annotations

import json
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ringfence.cli.main import run
from tests.unit.models.model_parts import write_folder
from tests.unit.models.signing_parts import pem, sign

KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
CONFIG = {"model_type": "qwen2", "vocab_size": 4, "num_hidden_layers": 2, "max_position_embeddings": 512}
TEMPLATE = b"{% for message in messages %}<|im_start|>{{ message.content }}{% endfor %}"


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RINGFENCE_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        capsys.readouterr()
        code = run([*map(str, arguments)])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return call


@pytest.fixture
def asked(call):
    def asked(*arguments):
        code, shown = call("--json", *arguments)
        return code, json.loads(shown)

    return asked


@pytest.fixture
def signed(tmp_path, call):
    """A signed model, and a plain one; the store, and the options that name the publisher."""
    readme = b"---\nlicense: apache-2.0\n---\n"
    folder = write_folder(tmp_path / "m", config__json=CONFIG, chat_template__jinja=TEMPLATE, README__md=readme, x__bin=b"")
    (tmp_path / "model.sig").write_bytes(sign(folder, KEY))
    (tmp_path / "key.pem").write_bytes(pem(KEY))
    options = ("--signature", tmp_path / "model.sig", "--public-key", tmp_path / "key.pem")
    assert (
        call("model", "import", folder, "--name", "qwen", "--alias", "Qwen/Q", "--from", "mirror 2026-11, revision abc", *options)[0] == 0
    )
    assert call("model", "import", write_folder(tmp_path / "n"), "--name", "plain")[0] == 0
    return tmp_path / "store", options


def test_import_says_what_the_verdict_warns_of(tmp_path, call):
    code, shown = call("model", "import", write_folder(tmp_path / "m"), "--name", "tiny")
    assert code == 0
    assert "warn  licence: nobody said" in shown
    code, shown = call("--lang", "zh", "model", "import", tmp_path / "m", "--name", "tiny")
    assert "注意  licence: 没有写明许可证" in shown


def test_show_for_scripts(signed, asked):
    code, found = asked("model", "show", "Qwen/Q")
    assert code == 0
    told = {
        key: found[key]
        for key in ("name", "architecture", "parameters", "layers", "vocabulary", "context", "licence", "provenance", "family")
    }
    assert told == {
        "name": "qwen",
        "architecture": "qwen2",
        "parameters": 12,
        "layers": 2,
        "vocabulary": 4,
        "context": 512,
        "licence": "apache-2.0",
        "provenance": "mirror 2026-11, revision abc",
        "family": "chatml",
    }
    assert (found["dtype"], found["source"]) == (["BF16", "F32"], "m")
    assert found["signature"]["left_out"] == ["x.bin"]
    assert {one["outcome"] for one in found["verdict"]} == {"pass"}
    assert asked("model", "show", "plain")[1]["signature"] is None


def test_show_for_people(signed, call):
    code, shown = call("model", "show", "qwen")
    assert code == 0
    for part in ("qwen2", "mirror 2026-11, revision abc", "x.bin", "chatml", "pass  signature: a publisher's signature covers every file"):
        assert part in shown
    code, shown = call("--lang", "zh", "model", "show", "plain")
    for part in ("架构", "对话模板", "注意  signature: 没有发布者的签名", "安全结论"):
        assert part in shown


def test_show_of_an_unknown_name_names_the_known_ones_and_registers_nothing(signed, tmp_path, asked):
    for name in ("gpt-5", tmp_path / "n"):
        code, answer = asked("model", "show", name)
        assert (code, answer["error"]["code"]) == (2, "RF-MODEL-002")
        assert "plain, qwen" in answer["error"]["remedy"]


def test_list_says_licence_and_signer(signed, call, asked):
    _, found = asked("model", "list")
    fingerprint = next(one["signature"]["fingerprint"] for one in found["models"] if one["name"] == "qwen")
    shown = call("model", "list")[1]
    assert fingerprint[:12] in shown
    assert "apache-2.0" in shown
    assert "signed by" in shown
    assert "签名者" in call("--lang", "zh", "model", "list")[1]


@pytest.mark.parametrize("what", ["weights", "signature", "entry"])
def test_verify_finds_the_broken_one_and_goes_on(signed, call, asked, what):
    where, _ = signed
    assert asked("model", "verify", "--all") == (
        0,
        {"ok": True, "models": [{"model": "plain", "ok": True, "code": None}, {"model": "qwen", "ok": True, "code": None}]},
    )
    digest = asked("model", "show", "qwen")[1]["digest"]
    paths = {"weights": where / digest / "model.safetensors", "signature": where / f"{digest}.sig", "entry": where / f"{digest}.json"}
    paths[what].write_bytes(b"{}")
    code, found = asked("model", "verify", "--all")
    assert (code, found["ok"]) == (12, False)
    assert sorted((one["ok"], one["code"]) for one in found["models"]) == [(False, "RF-MODEL-003"), (True, None)]
    code, shown = call("model", "verify", "--all")
    assert "✔ plain is unchanged" in shown
    assert "✖ the files of base model" in shown
    assert "✖ 基础模型" in call("--lang", "zh", "model", "verify", "--all")[1]
    assert asked("model", "verify", "qwen")[0] == 12
    assert asked("model", "show", "qwen")[0] == (0 if what == "signature" else 12)


def test_verify_against_the_key_that_the_user_brings(signed, tmp_path, asked):
    _, (*_, key) = signed
    code, found = asked("model", "verify", "qwen", "--public-key", key)
    assert code == 0
    assert found["signed_by"] == asked("model", "show", "qwen")[1]["signature"]["fingerprint"]
    (tmp_path / "other.pem").write_bytes(pem(OTHER))
    for name in ("qwen", "plain"):
        code, answer = asked("model", "verify", name, "--public-key", tmp_path / "other.pem")
        assert (code, answer["error"]["code"]) == (12, "RF-MODEL-008")
    assert asked("model", "verify", "qwen", "--public-key", tmp_path / "nowhere")[1]["error"]["code"] == "RF-INGEST-007"


REFUSED = {
    "no key": (("--signature", "model.sig"), "RF-CORE-004", 2),
    "no signature": (("--public-key", "key.pem"), "RF-CORE-004", 2),
    "no such file": (("--signature", "nowhere", "--public-key", "key.pem"), "RF-INGEST-007", 2),
    "cut off": (("--signature", "cut.sig", "--public-key", "key.pem"), "RF-MODEL-007", 2),
    "no P-256 key": (("--signature", "model.sig", "--public-key", "model.sig"), "RF-MODEL-007", 2),
    "another key": (("--signature", "model.sig", "--public-key", "other.pem"), "RF-MODEL-008", 12),
    "another folder": (("--signature", "other.sig", "--public-key", "key.pem"), "RF-MODEL-008", 12),
    "two lines": (("--from", "a\nb"), "RF-CORE-004", 2),
    "long": (("--from", "x" * 513), "RF-CORE-004", 2),
    "long licence": (("--licence", "x" * 65), "RF-CORE-004", 2),
}


@pytest.mark.parametrize("case", REFUSED)
def test_import_refuses_before_it_stores(tmp_path, asked, case, monkeypatch):
    options, error, code = REFUSED[case]
    folder = write_folder(tmp_path / "m")
    (tmp_path / "model.sig").write_bytes(sign(folder, KEY))
    (tmp_path / "cut.sig").write_bytes(sign(folder, KEY)[:-9])
    (tmp_path / "other.sig").write_bytes(sign(write_folder(tmp_path / "n", LICENSE=b"x"), KEY))
    (tmp_path / "key.pem").write_bytes(pem(KEY))
    (tmp_path / "other.pem").write_bytes(pem(OTHER))
    monkeypatch.chdir(tmp_path)
    found, answer = asked("model", "import", folder, *options)
    assert (found, answer["error"]["code"]) == (code, error)
    assert not (tmp_path / "store").exists() or not list((tmp_path / "store").iterdir())


def test_only_folders_carry_a_signature(tmp_path, asked):
    shutil.copy(__file__, tmp_path / "x.gguf")
    code, answer = asked("model", "import", tmp_path / "x.gguf", "--signature", __file__, "--public-key", __file__)
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")


@pytest.mark.parametrize("options", [(), ("x", "--all"), ("--all", "--public-key", "x")])
def test_verify_takes_one_name_or_all(asked, options):
    code, answer = asked("model", "verify", *options)
    assert (code, answer["error"]["code"]) == (2, "RF-CORE-004")
