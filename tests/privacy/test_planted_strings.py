"""After a full chain, its failures included: strings planted in every kind of field occur nowhere outside the sealed vault, and nothing was connected to.

strace counts the connects; besides the self-test's two addresses there are none.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
import yaml

from ringfence.models.store import find
from ringfence.workspace.fsck import fsck
from tests.flows.conftest import FEW_CANARIES, PASSPHRASE, PRIVATE, RECIPE, notes, reopen, write_rows
from tests.privacy.finder import forms, leaks

SECRETS = {
    "prompt": "Zwibbelhorn-7741 陆柒捌玖",
    "completion": "Quastenflosser-9902 赵丙丁",
    "field": "Murmelkasten-5518 column",
    "unit": "Wolkenstein-patient-3307",
    "bad row": "Dudelsackfalle-6613",
    "mail": "krimskrams-8825@innen.internal",
    "term": "Bluewhale蓝鲸工程9",
    "candidate": "quastel_marmalade",
    "beside it": "Hutzelbrot-stew",
    "imported": "Pfefferkuchen-Depot 12",
    "bad term": "Lebertran\x07ofen",
    "question": "zebrafish tandem 5521",
    "request": "Kaulquappe-ledger-4427",
    "bad request": "Nebelkrähe-3391",
    "token": "a-token-that-nobody-else-has-6651",
}
pytestmark = pytest.mark.timeout(900)  # of a chain of forty commands
AROUND = ("see", "moved to", "not in")
CHILDREN = 20  # that these commands start: each tests itself, once, with two addresses
STRACE = shutil.which("strace") and subprocess.run(["strace", "-f", "-o", os.devnull, "true"], check=False).returncode == 0
SELF_TEST = {"192.0.2.1", "2001:db8::1"}
LOOPBACK = re.compile(r"^(127\.|::1$)")
ADDRESS = re.compile(r'(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")')


def write_forms(folder, secret, tokens):
    """Write a file for each form, so that the search is shown to find it. The ends of the ids are those of a longer text."""
    raw = secret.encode()
    ids = [7, *tokens[1:-1], 9]
    plain = {
        "raw": b"x" + raw + b"x",
        "escaped": json.dumps({"a": secret}).encode(),
        "utf-16": secret.encode("utf-16"),
        "utf-16-be": ("x" + secret).encode("utf-16-be"),
        "url": f"http://localhost/?q={quote(secret)}&n=1".encode(),
        "hex": b"ff" + raw.hex().encode(),
        "ids.json": json.dumps({"input_ids": ids}).encode(),
        "ids.txt": json.dumps(ids, separators=(",", ":")).encode(),
        **{f"ids-{width}.bin": b"".join(t.to_bytes(width, "little") for t in ids) for width in (2, 4, 8)},
        **{f"base64-{shift}": base64.b64encode(b"a" * shift + raw + b"tail") for shift in range(3)},
        **{f"base64-url-{shift}": base64.urlsafe_b64encode(b"a" * shift + raw + b"tail") for shift in range(3)},
    }
    for name, data in plain.items():
        (folder / name).write_bytes(data)
    with zipfile.ZipFile(folder / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", raw)
    base = sqlite3.connect(folder / "base.db")
    base.execute("create table t (v text)")
    base.execute("insert into t values (?)", (secret,))
    base.commit()
    base.close()
    return [*plain, "packed.zip", "base.db"]


def traced(log, *more):
    return ["strace", *more, "-f", "--seccomp-bpf", "-qq", "-s", "64", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", log]


def connects(log):
    """Return every address outside loopback that any process named in connect, sendto or sendmsg."""
    found = []
    for line in log.splitlines():
        if re.search(r"\b(connect|sendto|sendmsg|sendmmsg)\(", line):
            found += [a or b for a, b in ADDRESS.findall(line) if not LOOPBACK.match(a or b)]
    return found


@pytest.mark.skipif(not STRACE, reason="strace does not run here (Debian: apt-get install strace)")
def test_the_count_sees_a_connect(tmp_path):
    code = "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.7', 9))"
    subprocess.run([*traced(tmp_path / "log"), sys.executable, "-c", code], check=False)
    assert connects((tmp_path / "log").read_text()) == ["192.0.2.7"]


@pytest.fixture(scope="module")
def tokens(model_store):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(find("tiny").path, local_files_only=True)
    return {secret: tokenizer(secret, add_special_tokens=False)["input_ids"] for secret in SECRETS.values()}


def test_the_search_finds_every_form_in_a_file_that_has_it(tmp_path, tokens):
    secret = SECRETS["prompt"]
    written = write_forms(tmp_path, secret, tokens[secret])
    (tmp_path / f"{SECRETS['unit']}.txt").write_text("x")
    found = leaks(tmp_path, [secret, SECRETS["unit"]], tokens)
    assert {name.split("!")[0] for name, _, _ in found} == {*written, f"{SECRETS['unit']}.txt"}
    assert {form for _, found_secret, form in found if found_secret == secret} == set(forms(secret, tokens[secret]))
    assert len(forms(secret, tokens[secret])) == 17
    assert not any(form.startswith("token") for name, _, form in found if not name.startswith("ids"))


@pytest.fixture(scope="module")
def after(tmp_path_factory, model_store, tokens):
    """A folder in which everything a full chain wrote is kept: workspace, outputs, caches, temp, core dumps; not the source files."""
    base = tmp_path_factory.mktemp("planted")
    source, kept = base / "source", base / "kept"
    for folder in (source, kept, kept / "home", kept / "tmp"):
        folder.mkdir()
    (source / "word").write_text(PASSPHRASE)
    rows = notes(30)
    rows[2]["prompt"] += f" {SECRETS['prompt']}"
    rows[3]["completion"] += f" {SECRETS['completion']}"
    rows[4]["extra"] = SECRETS["field"]
    rows[5]["patient_id"] = SECRETS["unit"]
    rows[7]["prompt"] += f" {SECRETS['term']} goes well"
    (source / "terms").write_text(SECRETS["term"] + "\n")
    for n in range(10, 16):  # what a discovery finds, with what stands around it
        rows[n]["prompt"] += f" {AROUND[n % 3]} {SECRETS['candidate']} {SECRETS['beside it']} {AROUND[n % 2]}"
    (source / "list.csv").write_text(f"term,decision\n{SECRETS['imported']},generalise\n")
    (source / "bad.csv").write_text(f"{SECRETS['bad term']}\n")
    rows[6]["prompt"] += f" {SECRETS['mail']} \u202e\U000e0041"
    write_rows(source / "clinic.jsonl", rows)
    (source / "broken.jsonl").write_bytes(b'{"prompt": "' + SECRETS["bad row"].encode() + b'", \n')
    (source / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "max_steps": 3, "save_steps": 2, "eval_dataset": "clinic"}))
    (source / "private.yaml").write_text(yaml.safe_dump({**RECIPE, **PRIVATE, "max_steps": 3}))
    (source / "policy.yaml").write_text(yaml.safe_dump(FEW_CANARIES))
    environment = {  # an ordinary user's: nothing in it tells a library to be quiet
        **{
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("HF_", "TRANSFORMERS_", "DO_NOT_TRACK", "CI", "XDG_", "RINGFENCE_"))
        },
        "HOME": str(kept / "home"),
        "TMPDIR": str(kept / "tmp"),
        "RINGFENCE_MODELS": str(model_store),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    front = [sys.executable, "-m", "ringfence", "--verbose", "--passphrase-file", source / "word", "-w", kept / "ws"]

    def count(*, is_detached=False):
        if STRACE:
            size = -1
            while is_detached and size != (size := (base / "trace").stat().st_size):  # until the tracer, too, has ended
                time.sleep(0.5)
            with (base / "connects").open("a") as found:
                found.writelines(f"{address}\n" for address in connects((base / "trace").read_text()))

    def call(*arguments, code=0, kept_out=False):
        """kept_out: what it prints is meant for a person's eyes, so only its standard error is searched."""
        command = [*map(str, (*(traced(base / "trace") if STRACE else ()), *front, *arguments))]
        done = subprocess.run(command, env=environment, cwd=kept, capture_output=True, timeout=280, check=False, stdin=subprocess.DEVNULL)
        with (kept / "output.txt").open("ab") as log:
            log.write(done.stderr if kept_out else done.stdout + done.stderr)
        assert done.returncode == code, done.stderr
        count()
        return done.stdout.decode()

    call("init", kept / "ws", "--solo")
    call("import", source / "broken.jsonl", "--name", "broken", code=2)
    call("import", source / "clinic.jsonl", "--unit", "patient_id")
    call("scan", "clinic")
    call("scan", "clinic", "--keep")
    call("train", source / "recipe.yaml", code=11)
    call("deid", "terms", "accept", "clinic", "1", code=2)
    call("deid", "terms", "discover", "clinic")
    call("deid", "terms", "import", source / "bad.csv", code=2)
    call("deid", "terms", "import", source / "list.csv")
    shown = call("deid", "terms", "list", "clinic", kept_out=True)
    number = next(line.split()[0] for line in shown.splitlines() if SECRETS["candidate"] in line)
    assert SECRETS["beside it"] in shown  # the person sees them, and nothing else may
    call("deid", "terms", "accept", "clinic", number)
    call("deid", "terms", "accept", "clinic", SECRETS["candidate"], code=2)
    call("deid", "terms", "keep", "clinic", "1-9999", code=2)
    call("deid", "terms", "review", "clinic", kept_out=True)
    call("deid", "clinic", "--terms", source / "terms")
    call("train", source / "recipe.yaml", "learning_rate=1e30", code=1)
    call("train", source / "recipe.yaml")
    run = json.loads(call("run", "list", "--json"))["runs"][-1]["run"]
    call("release", run, "--name", "lora", code=11)
    call("policy", "set", source / "policy.yaml")
    call("train", source / "private.yaml", "--dry-run")
    call("train", source / "private.yaml")
    run = json.loads(call("run", "list", "--json"))["runs"][-1]["run"]
    call("audit", run, "--dry-run")
    call("audit", run, "--guard")
    call("run", "show", run, "--html", kept / "page.html")
    call("release", run, "--dry-run")
    call("release", run, "--name", "lora")
    call("release", run, "--name", "guarded", "--guard")
    call("chat", "lora", "--ask", SECRETS["question"], "--guard", "on", code=11)  # it did not say that it has one
    call("chat", "guarded", "--ask", SECRETS["question"], "--max-new-tokens", "4")
    (source / "token").write_text(SECRETS["token"])
    serving = (*front, "--json", "serve", "lora", "--port", "0", "--token-file", source / "token")
    serve(map(str, (*(traced(base / "trace", "-D") if STRACE else ()), *serving)), environment, kept)  # -D: a signal goes to the server
    count(is_detached=True)
    call("run", "show", run)
    call("data", "list", "--all")
    call("log", "export", kept / "log")
    call("keys", "export", kept / "keys.json")
    call("verify", kept / "ws" / "releases" / "lora", "--keys", kept / "keys.json")
    call("log", "verify")
    call("fsck")
    return kept


def serve(command, environment, kept):
    """Serve until good, bad and unlawful requests are answered; what the server says is kept."""
    out = kept / "served.txt"
    with out.open("wb") as said, (kept / "requests.txt").open("wb") as log:
        server = subprocess.Popen([*command], env=environment, cwd=kept, stdout=said, stderr=log)
    try:
        while not out.stat().st_size and server.poll() is None:
            time.sleep(0.05)
        ready = json.loads(out.read_text())
        assert ready["models"][0]["alarm"]

        def ask(body, token=SECRETS["token"]):
            headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
            request = Request(f"{ready['url']}/chat/completions", body.encode(), headers)
            try:
                with urlopen(request, timeout=60) as answer:
                    return answer.status, answer.read()
            except HTTPError as refused:
                return refused.code, refused.read()

        good = {"model": "lora", "messages": [{"role": "user", "content": SECRETS["request"]}], "max_tokens": 4}
        answers = [
            ask(json.dumps(good)),
            ask(json.dumps(good | {"stream": True})),
            ask(json.dumps(good | {"messages": [{"role": SECRETS["bad request"], "content": SECRETS["bad request"]}]})),
            ask(json.dumps(good | {"model": SECRETS["bad request"]})),
            ask('{"messages": "' + SECRETS["bad request"]),
            ask(json.dumps(good), SECRETS["bad request"].replace("ä", "a")),
        ]
        assert [status for status, _ in answers] == [200, 200, 400, 404, 400, 401]
        (kept / "answers.txt").write_bytes(b"\n".join(body for status, body in answers if status != 200))
    finally:
        server.terminate()
        assert server.wait(60) == 0


def test_planted_strings_are_nowhere(after, tokens):
    assert (after / "output.txt").stat().st_size > 1000
    assert (after / "ws" / "releases" / "lora" / "evidence").is_dir()
    assert (after / "requests.txt").read_text().count('"status"') == 6
    assert leaks(after, SECRETS.values(), tokens) == []


@pytest.mark.skipif(not STRACE, reason="strace does not run here (Debian: apt-get install strace)")
def test_a_full_chain_connects_to_nothing(after):
    found = (after.parent / "connects").read_text().split()
    assert set(found) == SELF_TEST
    assert len(found) == 2 * CHILDREN


def test_nothing_stays_in_temp_or_home(after):
    assert list((after / "tmp").iterdir()) == []
    automata = (
        after / "home" / ".cache" / "ringfence" / "automata"
    )  # compiled patterns that ship with ringfence, searched for planted strings above
    key = after / "home" / ".local" / "share" / "ringfence" / "automata.key"  # of the account, to know them again
    assert [p for p in (after / "home").rglob("*") if p.is_file() and p.parent != automata and p != key] == []
    assert not list(Path(tempfile.gettempdir()).glob("ringfence-*"))


def test_the_workspace_is_sound_afterwards(after):
    report = fsck(reopen(after / "ws"))
    assert (report.broken, report.mended) == ([], [])
