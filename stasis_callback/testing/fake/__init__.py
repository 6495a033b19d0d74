"""A fake Asterisk: ARI on the real wire (HTTP and websocket) in one Python process, with scripted phones.

    with FakeAsterisk() as fake:
        network = FakeNetwork(fake)
        network.phone("420212345678").answers(after_s=0.1).dials("442071234567#")
        network.missed_call(ani="420212345678", dnis="420800123456")

It behaves like Asterisk 22.10 for what the product uses; tests/contract runs the same scenarios on both.
"""

try:
    import aiohttp  # noqa: F401
except ImportError as error:
    raise ImportError("the fake Asterisk needs aiohttp: pip install 'stasis-callback[simulated]'") from error

from .faults import Entry, Faults
from .network import FakeNetwork
from .playback import Sounds
from .server import FakeAsterisk

__all__ = ["Entry", "FakeAsterisk", "FakeNetwork", "Faults", "Sounds"]
