"""A proxy in front of a Kafka broker that can be cut off, as if the broker were away."""

import contextlib
import select
import socket
import struct
import threading


class Proxy:
    """Forwards connections to `broker` (host, port), which the client then knows by the proxy's own port.

    A broker tells its clients where to connect to; so the port that stands behind its host's name in each answer is
    replaced. Both have four bytes, nothing else moves.
    """

    def __init__(self, broker):
        self._broker = broker
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._advertised = broker[0].encode() + struct.pack(">i", broker[1])
        self._replacement = broker[0].encode() + struct.pack(">i", self.port)
        self._connected = threading.Event()
        self._connected.set()
        self._pairs = set()
        self.refused = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """The broker is away: open connections end in the middle of whatever they carry, new ones at once."""
        self._connected.clear()
        for pair in list(self._pairs):
            _shut(*pair)

    def restore(self):
        """The broker is back."""
        self._connected.set()

    def close(self):
        """No more connections."""
        self.cut()
        self._listening.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if not self._connected.is_set():
                self.refused += 1
                client.close()
                continue
            broker = socket.create_connection(self._broker)
            self._pairs.add((client, broker))
            threading.Thread(target=self._forward, args=(client, broker), daemon=True).start()

    def _forward(self, client, broker):
        answers = b""
        try:
            while True:
                for ready in select.select([client, broker], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    if ready is client:
                        broker.sendall(data)
                        continue
                    answers += data
                    while len(answers) >= 4 and len(answers) >= (size := 4 + struct.unpack(">i", answers[:4])[0]):
                        client.sendall(answers[:size].replace(self._advertised, self._replacement))
                        answers = answers[size:]
        except (OSError, ValueError):
            return
        finally:
            self._pairs.discard((client, broker))
            _shut(client, broker)
            client.close()
            broker.close()


def _shut(*sockets):
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
