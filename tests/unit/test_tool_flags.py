"""Which flags make vLLM understand a model's tool calls, and what a chosen model changes."""

from __future__ import annotations

import pytest
from workshop.cluster.recipes import vllm
from workshop.errors import SettingsError

TEMPLATE = "--chat-template=/vllm-workspace/examples/tool_chat_template_llama3.{}_json.jinja"


@pytest.mark.parametrize(
    ("model", "flags"),
    [
        ("meta-llama/Llama-3.2-3B-Instruct", ["llama3_json", TEMPLATE.format(2)]),
        ("meta-llama/Llama-3.1-8B-Instruct", ["llama3_json", TEMPLATE.format(1)]),
        ("oci://quay.io/x/modelcar-catalog:llama-3.2-3b-instruct", ["llama3_json"]),
        ("ibm-granite/granite-3.3-8b-instruct", ["granite"]),
        ("ibm-granite/granite-4.0-h-small", ["granite4"]),
        ("Qwen/Qwen2.5-7B-Instruct", ["hermes"]),
        ("Qwen/Qwen3-14B-AWQ", ["hermes", "--reasoning-parser=qwen3"]),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", ["qwen3_xml"]),
        ("mistralai/Mistral-Small-3.2-24B-Instruct", ["mistral"]),
        ("openai/gpt-oss-20b", ["openai"]),
    ],
)
def test_each_family_has_its_parser(model: str, flags: list[str]) -> None:
    found = vllm.tool_flags(model)
    assert found[0] == "--enable-auto-tool-choice"
    assert found[1] == f"--tool-call-parser={flags[0]}"
    assert set(flags[1:]) <= set(found)


def test_a_model_of_no_known_family_is_refused_with_a_way_out() -> None:
    with pytest.raises(SettingsError) as refused:
        vllm.tool_flags("acme/roadrunner-7b")
    assert refused.value.what == "The kit does not know how 'acme/roadrunner-7b' calls tools."
    assert "Granite 3 and 4" in refused.value.state
    assert "MODEL_URL" in refused.value.hint


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
