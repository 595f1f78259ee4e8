"""A small HTTP server that behaves as badly as it is asked to. Standard library only.

``GET /`` answers who it is, as JSON; ``/exit/3`` ends it with exit code 3; ``/print/text`` writes
a line to its log; ``/fail/text`` too, and answers 500; a ``POST`` is answered in part, and the rest
never comes. It writes ``listening on 127.0.0.1:PORT`` once it listens.
"""

import argparse
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        _, verb, *rest = unquote(self.path).split("/", 2)
        if verb == "exit":
            os._exit(int(rest[0]))
        if verb in ("print", "fail"):
            say(rest[0])
        if verb == "fail":
            self.send_error(500)
            return
        env = dict(os.environ)
        body = json.dumps(
            {"pid": os.getpid(), "env": env, "cwd": str(Path.cwd()), "version": env.get("VERSION")}
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self):
        """As when it is killed: the connection is closed first, and a little later it is over."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b": begun\n\n")
        self.connection.shutdown(socket.SHUT_RDWR)
        rest(0.3)
        os.kill(os.getpid(), signal.SIGKILL)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self):
        # HTTPServer's own asks the name service for this machine's name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def rest(seconds=None):
    """Do nothing: servers may take their time, tests may not."""
    select.select([], [], [], seconds)


def serve_without_the_first_thread(port):
    server = Server(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever).start()
    say(f"listening on 127.0.0.1:{server.server_port}")
    ctypes.CDLL(None).pthread_exit(None)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--gate", metavar="FIFO", help="begin when somebody writes to this FIFO")
    parser.add_argument("--slow", type=float, help="seconds before it listens")
    parser.add_argument("--crash", metavar="MESSAGE", help="say it on stderr and end")
    parser.add_argument("--exit-code", type=int, default=1, help="what --crash ends with")
    parser.add_argument("--silent", action="store_true", help="listen, and never answer")
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--noise", type=int, default=0, help="lines to print before listening")
    parser.add_argument("--say-env", metavar="NAME", help="print this variable, as bad servers do")
    parser.add_argument("--child", help="a file for the pid of a child that ignores SIGTERM")
    parser.add_argument("--away", action="store_true", help="the child has a session of its own")
    parser.add_argument("--first-thread-ends", action="store_true", help="others go on serving")
    parser.add_argument("--bare", action="store_true", help="the child has no environment")
    options = parser.parse_args()

    if options.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.child:
        stubborn = Path(__file__).with_name("stubborn.py")
        env = {} if options.bare else None
        argv = [sys.executable, stubborn]
        child = subprocess.Popen(argv, env=env, start_new_session=options.away)
        Path(options.child).write_text(str(child.pid))
    for number in range(options.noise):
        sys.stdout.write(f"line {number}: {'x' * 100}\n")
    if options.say_env:
        say(f"my secret is {os.environ[options.say_env]}")
    if options.gate:
        Path(options.gate).read_text()
    if options.slow:
        rest(options.slow)
    if options.crash:
        sys.stderr.write(f"{options.crash}\n")
        return options.exit_code
    if options.first_thread_ends:
        serve_without_the_first_thread(options.port)
    if options.silent:
        listening = socket.create_server(("127.0.0.1", options.port))
        say(f"listening on 127.0.0.1:{listening.getsockname()[1]}")
        rest()
    with Server(("127.0.0.1", options.port), Handler) as server:
        say(f"listening on 127.0.0.1:{server.server_port}")
        server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
