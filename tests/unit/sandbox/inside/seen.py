"""What a job can import, said by itself: standard library only."""

from importlib.util import find_spec


def imports(order, keys, end):
    """Send back those of the packages that are there."""
    end.sendall(b" ".join(name for name in order.split() if find_spec(name.decode())))
    return 0
