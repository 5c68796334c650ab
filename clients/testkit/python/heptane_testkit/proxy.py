"""A TCP proxy whose network can be cut: connections end at once, new ones are refused until it is mended."""

import selectors
import socket
import threading

from .wait import free_port


class Proxy:
    def __init__(self, target):
        """target: (host, port), or a function that says it."""
        self.target = target if callable(target) else lambda: target
        self.lock = threading.Lock()
        self.pairs = set()
        self.listener = None
        self.port = free_port()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def mend(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        return self

    def cut(self):
        """Whatever was under way is lost."""
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self.lock:
            for pair in self.pairs:
                for end in pair:
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass

    close = cut

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        try:
            far = socket.create_connection(self.target(), timeout=10)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        with self.lock:
            self.pairs.add((near, far))
        with selectors.DefaultSelector() as selector:
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            try:
                while self._copy(selector):
                    pass
            except OSError:
                pass
        with self.lock:
            self.pairs.discard((near, far))
        near.close()
        far.close()

    @staticmethod
    def _copy(selector):
        for key, _ in selector.select():
            data = key.fileobj.recv(65536)
            if not data:
                return False
            key.data.sendall(data)
        return True
