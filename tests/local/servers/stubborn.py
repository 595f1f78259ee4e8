"""Ignores SIGTERM and does nothing until it is killed."""

import signal
import sys

signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdout.write("stubborn child is up\n")
sys.stdout.flush()
while True:
    signal.pause()
