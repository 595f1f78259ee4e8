"""Which flags make vLLM understand a model's tool calls, and what a chosen model changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from workshop.core.errors import SettingsError
from workshop.targets.cluster import objects, preflight
from workshop.targets.cluster.manifests import model as vllm

TEMPLATE = "--chat-template=/vllm-workspace/examples/tool_chat_template_llama3.{}_json.jinja"


@pytest.mark.parametrize(
    ("model", "flags"),
    [
        ("meta-llama/Llama-3.2-3B-Instruct", ["llama3_json", TEMPLATE.format(2)]),
        ("meta-llama/Llama-3.1-8B-Instruct", ["llama3_json", TEMPLATE.format(1)]),
        ("oci://quay.io/x/modelcar-catalog:llama-3.2-3b-instruct", ["llama3_json"]),
        ("ibm-granite/granite-3.3-8b-instruct", ["granite"]),
        ("ibm-granite/granite-4.0-h-small", ["granite4"]),
        ("ibm-granite/granite-4.1-8b-instruct", ["granite4"]),
        (
            "ibm-granite/granite-4.2-8b",
            ["qwen3_xml", "--reasoning-parser=granite_thinking_parser"],
        ),
        ("Qwen/Qwen2.5-7B-Instruct", ["hermes"]),
        ("Qwen/Qwen3-14B-AWQ", ["hermes", "--reasoning-parser=qwen3"]),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", ["qwen3_xml"]),
        ("Qwen/Qwen3.5-9B", ["qwen3_xml", "--reasoning-parser=qwen3"]),
        ("Qwen/Qwen3.6-35B-A3B", ["qwen3_xml", "--reasoning-parser=qwen3"]),
        ("google/gemma-4-E4B-it", ["gemma4", "--reasoning-parser=gemma4"]),
        ("mistralai/Mistral-Small-3.2-24B-Instruct", ["mistral"]),
        ("openai/gpt-oss-20b", ["openai"]),
    ],
)
def test_each_family_has_its_parser(model: str, flags: list[str]) -> None:
    found = vllm.tool_flags(model)
    assert found[0] == "--enable-auto-tool-choice"
    assert found[1] == f"--tool-call-parser={flags[0]}"
    assert set(flags[1:]) <= set(found)


@pytest.mark.parametrize("model", ["acme/roadrunner-7b", "Qwen/Qwen2.5-Coder-7B-Instruct"])
def test_a_model_that_no_parser_reads_is_refused_with_a_way_out(model: str) -> None:
    with pytest.raises(SettingsError) as refused:
        vllm.tool_flags(model)
    assert refused.value.what == f"The kit does not know how {model!r} calls tools."
    assert "Granite 3 and 4" in refused.value.state
    assert "MODEL_URL" in refused.value.hint


PARSERS = Path(__file__).resolve().parents[2] / "testcluster" / "vllm_parsers.json"
KNOWN = json.loads(PARSERS.read_text())


def unknown(flags: Iterable[str]) -> list[str]:
    """Those that name a parser which the pinned vLLM does not have."""
    given = (flag.removeprefix("--").partition("=") for flag in flags)
    kinds = {"tool-call-parser": KNOWN["tool"], "reasoning-parser": KNOWN["reasoning"]}
    return [f"{kind} {name}" for kind, _, name in given if name not in kinds.get(kind, [name])]


def test_the_names_are_those_of_the_pinned_vllm() -> None:
    ours = [one.name for one in preflight.images() if one.part in ("model", "embedder")]
    tags = {name.rpartition(":")[2] for name in ours}
    assert tags == {f"v{KNOWN['version']}"}, "tests/testcluster/vllm_parsers.py writes them anew"


@pytest.mark.parametrize(("family", "flags"), vllm.PARSERS, ids=[one for one, _ in vllm.PARSERS])
def test_the_pinned_vllm_has_each_parser_of_the_table(family: str, flags: tuple[str, ...]) -> None:
    assert unknown(flags) == []
    assert unknown(["--tool-call-parser=qwen3_yaml"]) == ["tool-call-parser qwen3_yaml"]


def test_the_manifests_flags_are_those_of_the_table() -> None:
    named = []
    for path in (objects.MANIFESTS / "model").rglob("*.yaml"):
        text = path.read_text()
        for model in re.findall(r"--model=(\S+)", text):
            named.append(model)
            assert set(vllm.tool_flags(model)) <= set(re.findall(r"--[\w=.-]+", text)), path
    assert len(named) == 4


def test_a_chosen_model_replaces_the_manifests_and_keeps_the_rest() -> None:
    args = ["--port=8080", "--model=a/b", "--served-model-name=b", "--max-model-len=16384"]
    args += ["--gpu-memory-utilization=0.92", "--enable-auto-tool-choice"]
    args += ["--tool-call-parser=granite"]
    assert vllm.chosen(args, "Qwen/Qwen3-14B-AWQ", 8192) == [
        "--port=8080",
        "--gpu-memory-utilization=0.92",
        "--model=Qwen/Qwen3-14B-AWQ",
        "--served-model-name=qwen3-14b-awq",
        "--max-model-len=8192",
        "--enable-auto-tool-choice",
        "--tool-call-parser=hermes",
        "--reasoning-parser=qwen3",
    ]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Qwen/Qwen2.5-1.5B-Instruct", "qwen2.5-1.5b-instruct"),
        ("oci://quay.io/x/modelcar-catalog:granite-3.3-8b-instruct", "granite-3.3-8b-instruct"),
        ("pvc://models/my model", "my-model"),
    ],
)
def test_a_model_answers_under_the_last_part_of_its_name(model: str, name: str) -> None:
    assert vllm.short_name(model) == name
