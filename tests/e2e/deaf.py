"""A network between a program and PostgreSQL that can lose an answer: what was asked is done, and the asker never hears of it."""

import socket
import threading


class DeafProxy:
    """Passes everything on, both ways. Use as a context manager."""

    def __init__(self, port):
        self.target, self.lost = port, False
        self._signs = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error):
        self._listener.close()

    def lose_commit_after(self, *signs):
        """Once: the answer to the COMMIT of a transaction in which PostgreSQL has sent all of these bytes."""
        self._signs, self.lost = signs, False

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            # seen: PostgreSQL has sent the signs; asked: and the COMMIT has been passed on.
            state = {"seen": False, "asked": False}
            threading.Thread(target=self._asks, args=(client, server, state), daemon=True).start()
            threading.Thread(target=self._answers, args=(client, server, state), daemon=True).start()

    def _asks(self, client, server, state):
        for data in _chunks(client):
            if state["seen"] and b"COMMIT" in data:
                state["asked"] = True
            if not _send(server, data):
                break
        _close(client, server)

    def _answers(self, client, server, state):
        for data in _chunks(server):
            if state["asked"]:
                self.lost, self._signs = True, None
                break
            state["seen"] = state["seen"] or (self._signs is not None and all(sign in data for sign in self._signs))
            if not _send(client, data):
                break
        _close(client, server)


def _chunks(sender):
    while True:
        try:
            data = sender.recv(1 << 16)
        except OSError:
            return
        if not data:
            return
        yield data


def _send(receiver, data):
    try:
        receiver.sendall(data)
    except OSError:
        return False
    return True


def _close(*sockets):
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
