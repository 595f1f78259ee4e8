"""``--verify``: hash the weights again, whatever the records say."""

from __future__ import annotations

from workshop.local.setup import fetch, found
from workshop.local.setup.board import Board
from workshop.local.setup.context import Context


def weights(context: Context, board: Board) -> None:
    """Forget the record of every weights file whose hash is no longer right."""
    table = {"chat-weights": context.pins.chat, "embedding-weights": context.pins.embedding}
    for name, wanted in table.items():
        if found.fault(context, name):
            continue
        board.say(name, "checking the hash")
        seen = fetch.sha256_of(found.locate(context, name))
        if seen == wanted.sha256:
            board.end(name, "the hash is right")
        else:
            found.forget(context, name)
            board.end(name, "the hash is wrong; it will be fetched again")
