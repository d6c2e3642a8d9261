"""No connect leaves this machine: strace counts them over a full chain; besides the self-test's two addresses there are none."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.flows.conftest import FEW_CANARIES, PASSPHRASE, PRIVATE, RECIPE, notes, write_rows

SELF_TEST = {"192.0.2.1", "2001:db8::1"}
LOOPBACK = re.compile(r"^(127\.|::1$)")
ADDRESS = re.compile(r'(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")')
pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (Debian: apt-get install strace)")


def connects(log):
    """Return every address outside loopback that any process named in connect, sendto or sendmsg."""
    found = []
    for line in log.splitlines():
        if re.search(r"\b(connect|sendto|sendmsg|sendmmsg)\(", line):
            found += [a or b for a, b in ADDRESS.findall(line) if not LOOPBACK.match(a or b)]
    return found


def test_the_count_sees_a_connect(tmp_path):
    log = tmp_path / "log"
    code = "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.7', 9))"
    subprocess.run(["strace", "-f", "-qq", "-e", "trace=network", "-o", log, sys.executable, "-c", code], check=False)
    assert connects(log.read_text()) == ["192.0.2.7"]


def test_a_full_chain_connects_to_nothing(tmp_path, model_store):
    word = tmp_path / "word"
    word.write_text(PASSPHRASE)
    rows = write_rows(tmp_path / "clinic.jsonl", notes(16))
    recipe = tmp_path / "r.yaml"
    recipe.write_text(yaml.safe_dump({**RECIPE, **PRIVATE, "max_steps": 1}))
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump(FEW_CANARIES))
    log, total = tmp_path / "log", []
    # An ordinary user's environment: nothing in it tells a library to be quiet.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_", "DO_NOT_TRACK", "CI"))}

    def call(*arguments):
        command = [sys.executable, "-m", "ringfence", "--passphrase-file", word, "-w", tmp_path / "ws", *arguments]
        trace = ["strace", "-f", "-qq", "-s", "64", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", log]
        done = subprocess.run([*trace, *map(str, command)], env=environment, capture_output=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr
        total.extend(connects(log.read_text()))
        return done.stdout.decode()

    call("init", tmp_path / "ws", "--solo")
    call("import", rows, "--unit", "patient_id")
    call("scan", "clinic")
    call("scan", "clinic", "--keep")
    call("deid", "clinic")
    call("policy", "set", policy)
    call("train", recipe)
    run = json.loads(call("run", "list", "--json"))["runs"][-1]["run"]
    call("audit", run)
    call("run", "show", run, "--html", tmp_path / "page.html")
    call("release", run, "--name", "lora")
    call("chat", "lora", "--ask", "hello", "--max-new-tokens", "2")
    call("keys", "export", tmp_path / "keys.json")
    call("verify", tmp_path / "ws" / "releases" / "lora", "--keys", tmp_path / "keys.json")
    call("log", "verify")
    call("fsck")
    assert set(total) == SELF_TEST
    assert len(total) == 2 * 8  # import, scan, keep, deid, plant, train, audit, chat: one self-test each, two addresses
