"""Children that break their contract. Each is an entry of its own: (order, keys, socket) -> exit status."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import time

GOOD = {"turns": 1, "tokens": 2}


def send(end, **frame):
    data = json.dumps(frame).encode()
    end.sendall(struct.pack(">I", len(data)) + data)


def well_behaved(order, keys, end):
    send(end, type="progress", done=1, total=2, loss=None, phase="work")
    send(end, type="done", figures=GOOD)
    return 0


def text_in_figures(order, keys, end):
    send(end, type="done", figures={**GOOD, "turns": "Patient Wang Wei"})
    return 0


def extra_figure(order, keys, end):
    send(end, type="done", figures={**GOOD, "note": "Patient Wang Wei"})
    return 0


def text_in_progress(order, keys, end):
    send(end, type="progress", done=1, total=2, phase="Patient Wang Wei")
    return 0


def unknown_frame(order, keys, end):
    send(end, type="Patient Wang Wei")
    return 0


def speaks_without_a_channel(order, keys, end):
    send(end, type="say", text="Patient Wang Wei")
    time.sleep(60)
    return 0


def leases_without_a_right(order, keys, end):
    send(end, type="lease", steps=1)


def checkpoints_without_a_right(order, keys, end):
    send(end, type="checkpoint", step=1, loss=0.1)
    time.sleep(60)
    return 0


def garbage(order, keys, end):
    end.sendall(b"\x00\x00\x00\x05Wang!")
    time.sleep(60)
    return 0


def endless_frame(order, keys, end):
    end.sendall(struct.pack(">I", 1 << 31))
    time.sleep(60)
    return 0


def text_in_failure(order, keys, end):
    send(end, type="failed", error="ValueError", at="ringfence.train.loop:1", facts={"name": "Patient Wang Wei"})
    return 1


def invented_place(order, keys, end):
    send(end, type="failed", error="ValueError", at="ringfence.patient.wang:1", facts={})
    return 1


def text_as_error_name(order, keys, end):
    send(end, type="failed", error="PatientWangWei", at="ringfence.train.loop:1", facts={})
    return 1


def error_without_facts(order, keys, end):
    send(end, type="failed", error="LossNotFinite", at="ringfence.train.loop:1", facts={})
    return 1


def hangs(order, keys, end):
    time.sleep(600)
    return 0


def dies(order, keys, end):
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def leaves_without_a_word(order, keys, end):
    return 3


def writes_where_it_may_not(order, keys, end):
    """Reports in `tokens` how many of the host's places it could open or write."""
    opened = 0
    for path in ("/etc/shadow", "/etc/passwd", "/root/.profile", "/home", "/proc/1/root/etc/passwd", "/in/../etc/hostname"):
        try:
            os.listdir(path) if path == "/home" else open(path, "rb").close()
            opened += 1
        except OSError:
            pass
    for path in ("/usr/lib/x", "/tmp/../x", "/in/x", "/x"):
        try:
            open(path, "wb").close()
            opened += 1
        except OSError:
            pass
    send(end, type="done", figures={"turns": 0, "tokens": opened})
    return 0


def calls_out(order, keys, end):
    """Reports in `tokens` how many ways out it found."""
    found = 0
    for family, kind, address in (
        (socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80)),
        (socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53)),
        (socket.AF_INET6, socket.SOCK_STREAM, ("2001:db8::1", 80)),
        (socket.AF_INET, socket.SOCK_STREAM, ("169.254.169.254", 80)),
    ):
        try:
            with socket.socket(family, kind) as way:
                way.settimeout(1)
                way.connect(address)
                way.send(b"x")
            found += 1
        except OSError:
            pass
    try:
        socket.getaddrinfo("example.com", 80)
        found += 1
    except OSError:
        pass
    send(end, type="done", figures={"turns": 0, "tokens": found})
    return 0


def eats_memory(order, keys, end):
    hoard = []
    while True:
        hoard.append(bytearray(64 << 20))


def asks_and_leaves(order, keys, end):
    send(end, type="ask")
    end.close()
    return 3


def asks_fails_and_leaves(order, keys, end):
    send(end, type="ask")
    send(end, type="failed", error="OSError", at="ringfence.train.loop:1", facts={})
    end.close()
    return 3


def asks_and_never_reads(order, keys, end):
    while True:
        send(end, type="ask")
