"""What a client can meet on the wire.

* WireError
  * ConnectFailed     refused, or no such host: the other side was never touched
  * ConnectTimeout    nobody took the connection up in time: never touched either
  * PoolTimeout       no connection came free in time: never touched either
  * WriteFailed       the connection broke while the request was being sent
  * WriteTimeout      the other side did not take the request in time
  * ReadFailed        the connection was reset while the client waited or read
  * ReadTimeout       silence for longer than the client would bear
  * ProtocolBroken    what came was not a whole HTTP answer: ended early, or garbage
  * RequestInvalid    the client's own request is not legal HTTP: never sent

Says nothing about which of them may be retried; that is for the client to know.
"""

__all__ = [
    "ConnectFailed",
    "ConnectTimeout",
    "PoolTimeout",
    "ProtocolBroken",
    "ReadFailed",
    "ReadTimeout",
    "RequestInvalid",
    "WireError",
    "WriteFailed",
    "WriteTimeout",
]


class WireError(Exception):
    """A call did not end in a whole answer."""


class ConnectFailed(WireError):
    """Nobody listens there."""


class ConnectTimeout(WireError):
    """The connection was not taken up in time."""


class PoolTimeout(WireError):
    """Every connection allowed to this host stayed in use."""


class WriteFailed(WireError):
    """The connection broke while the request was being sent."""


class WriteTimeout(WireError):
    """The other side did not take the request in time."""


class ReadFailed(WireError):
    """The connection was reset by the other side or by the network."""


class ReadTimeout(WireError):
    """Nothing arrived in time."""


class ProtocolBroken(WireError):
    """The answer ended early, or is not HTTP."""


class RequestInvalid(WireError):
    """The request breaks a rule of HTTP, so the client's library would not send it."""
