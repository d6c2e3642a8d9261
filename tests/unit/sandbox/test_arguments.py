"""What bubblewrap is told, and in which order."""

import sys
from pathlib import Path

import pytest

from ringfence.sandbox.arguments import INSIDE_BOOTSTRAP, Mounts, bwrap_arguments
from ringfence.sandbox.devices import gpu_nodes, gpus
from ringfence.sandbox.python import PACKAGE, Python, own


def arguments(roots=(), python=None, **mounts):
    return bwrap_arguments(mounts=Mounts(**mounts), roots=list(roots), info=5, block=6, seccomp=7, python=python)


def binds(command):
    """Return (option, source, destination) of every bind."""
    return [tuple(command[i : i + 3]) for i, word in enumerate(command) if word.endswith(("bind", "bind-try"))]


@pytest.fixture
def dev(tmp_path):
    folder = tmp_path / "dev"
    folder.mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset", "nvidia0.bak", "null", "sda"):
        (folder / name).touch()
    (folder / "nvidia-caps").mkdir()
    return folder


def test_gpu_nodes_are_the_ones_that_cuda_needs(dev):
    names = [node.name for node in gpu_nodes(dev)]
    assert names == ["nvidia-caps", "nvidia-uvm", "nvidia-uvm-tools", "nvidia0", "nvidia1", "nvidiactl"]


def test_a_driver_without_a_device_is_no_gpu(dev, tmp_path):
    (dev / "nvidia0").unlink()
    (dev / "nvidia1").unlink()
    assert gpu_nodes(dev) == ()
    assert gpu_nodes(tmp_path / "absent") == ()
    assert gpus(dev) == gpus(tmp_path / "absent") == ()


def test_control_nodes_are_no_gpus(dev):
    assert [node.name for node in gpus(dev)] == ["nvidia0", "nvidia1"]


def test_devices_come_after_dev_and_before_it_is_closed(dev):
    command = arguments(gpus=gpu_nodes(dev))
    made, closed = command.index("--dev"), max(i for i, w in enumerate(command) if w == "--remount-ro" and command[i + 1] == "/dev")
    places = [i for i, word in enumerate(command) if word == "--dev-bind"]
    assert len(places) == 6
    assert all(made < place < closed for place in places)
    assert ("--dev-bind", str(dev / "nvidia0"), "/dev/nvidia0") in binds(command)
    assert ("--ro-bind", "/sys", "/sys") in binds(command)


def test_without_a_gpu_there_is_no_device_and_no_sys():
    command = arguments()
    assert "--dev-bind" not in command
    assert "/sys" not in command


def test_only_the_output_is_writable(tmp_path):
    command = arguments(read={"set": tmp_path / "set", "model": tmp_path / "model"}, write=tmp_path / "slot")
    assert [b for b in binds(command) if not b[0].startswith("--ro")] == [("--bind", str(tmp_path / "slot"), "/out")]
    assert ("--ro-bind", str(tmp_path / "model"), "/in/model") in binds(command)


def test_the_isolation_is_asked_for():
    command = arguments()
    for word in ("--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--as-pid-1"):
        assert word in command
    assert "--share-net" not in command
    for option, value in {
        "--cap-drop": "ALL",
        "--uid": "65534",
        "--gid": "65534",
        "--info-fd": "5",
        "--block-fd": "6",
        "--seccomp": "7",
    }.items():
        assert command[command.index(option) + 1] == value
    assert [command[i + 1] for i, word in enumerate(command) if word == "--remount-ro"] == ["/proc", "/dev", "/"]


def test_no_more_of_the_host_is_bound_than_the_interpreter_needs():
    sources = [Path(source) for _, source, _ in binds(arguments(own().roots))]
    for source in sources:
        assert source not in (Path("/"), Path("/usr"), Path("/etc"), Path.home(), Path(sys.prefix))
        assert source not in Path(__file__).parents, "a folder above the checkout's tests"
    assert ("--ro-bind", str(Path(__import__("ringfence").__file__).parent / "sandbox" / "bootstrap.py"), INSIDE_BOOTSTRAP) in binds(
        arguments()
    )


def test_tmp_is_made_before_anything_is_bound_into_it(tmp_path):
    command = arguments([tmp_path])
    assert command.index("/tmp") < command.index(str(tmp_path))


def test_under_another_python_its_files_are_bound_and_of_ours_ringfence_alone(tmp_path):
    for folder in ("base/bin", "base/lib", "packages"):
        (tmp_path / folder).mkdir(parents=True)
    binary, packages = tmp_path / "base" / "bin" / "python3", tmp_path / "packages"
    for installed, ringfence in (((packages,), PACKAGE), ((packages, PACKAGE.parent), PACKAGE.parent)):
        python = Python(binary, (tmp_path / "base",), installed)
        bound = {Path(source) for _, source, _ in binds(arguments(python.roots, python))}
        assert bound >= {binary, tmp_path / "base" / "lib", packages, ringfence}
        assert not bound & ({PACKAGE.parent, own().binary, *own().packages} - {ringfence})
