"""The model: llama.cpp's server with a chat template that makes tool calls."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from workshop.targets.base import Part
from workshop.targets.local.process import Command
from workshop.targets.local.programs.llamacpp import TEMPLATE, serving


def command(part: Part, ports: Mapping[str, int], folder: Path) -> Command:
    """The default model's weights; an answer has an end."""
    options = (f"--chat-template={TEMPLATE}", f"--max-tokens={part.settings['max_tokens']}")
    # In the environment so that an edited template changes the fingerprint and is applied.
    env = {"TEMPLATE_SHA256": hashlib.sha256(TEMPLATE.read_bytes()).hexdigest()}
    return serving("chat-weights", part, ports, folder, options=options, env=env)
