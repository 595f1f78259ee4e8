"""The public names: all that a notebook needs.

    >>> from workshop import connect, deploy_mongodb, verify_mongodb

One verb deploys a part, one proves that it works. Nothing is imported before it is used: a
notebook's kernel then starts in the time of a bare Python.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workshop.agent.agent import create_agent as create_agent
    from workshop.agent.agent import question_box as question_box
    from workshop.agent.questions import verify_answers as verify_answers
    from workshop.connecting import connect as connect
    from workshop.operate.scale.measure import find_bottleneck as find_bottleneck
    from workshop.operate.scale.measure import measure_load as measure_load
    from workshop.operate.scale.measure import plot_load as plot_load
    from workshop.operate.scale.mongodb import migrate_mongodb as migrate_mongodb
    from workshop.operate.scale.mongodb import resize_mongodb as resize_mongodb
    from workshop.operate.scale.replicas import scale_out as scale_out
    from workshop.operate.scale.replicas import share_storage as share_storage
    from workshop.operate.scale.replicas import verify_scale_out as verify_scale_out
    from workshop.operate.secure.credentials import rotate_credential as rotate_credential
    from workshop.operate.secure.credentials import rotate_credentials as rotate_credentials
    from workshop.operate.secure.network import declared_network as declared_network
    from workshop.operate.secure.network import secure_network as secure_network
    from workshop.operate.secure.network import try_network as try_network
    from workshop.operate.secure.network import verify_network as verify_network
    from workshop.operate.secure.routes import front_doors as front_doors
    from workshop.operate.watch.burst import watch_questions as watch_questions
    from workshop.operate.watch.logs import follow_question as follow_question
    from workshop.operate.watch.logs import newest_lines as newest_lines
    from workshop.operate.watch.scrape import deploy_prometheus as deploy_prometheus
    from workshop.operate.watch.scrape import pages as pages
    from workshop.operate.watch.scrape import query as query
    from workshop.operate.watch.verify import verify_watching as verify_watching
    from workshop.parts.clean_up import clean_up as clean_up
    from workshop.parts.clean_up import verify_clean_up as verify_clean_up
    from workshop.parts.environment import check_environment as check_environment
    from workshop.parts.gpu_nodes import add_gpu_nodes as add_gpu_nodes
    from workshop.parts.gpu_nodes import scale_gpu_nodes as scale_gpu_nodes
    from workshop.parts.gpu_nodes import verify_gpu_nodes as verify_gpu_nodes
    from workshop.parts.llama_stack import deploy_llama_stack as deploy_llama_stack
    from workshop.parts.llama_stack import verify_llama_stack as verify_llama_stack
    from workshop.parts.mcp_server import deploy_mcp_server as deploy_mcp_server
    from workshop.parts.mcp_server import register_mcp_server as register_mcp_server
    from workshop.parts.mcp_server import verify_mcp_server as verify_mcp_server
    from workshop.parts.mcp_server import verify_registration as verify_registration
    from workshop.parts.model import serve_model as serve_model
    from workshop.parts.model import verify_model as verify_model
    from workshop.parts.mongodb import deploy_mongodb as deploy_mongodb
    from workshop.parts.mongodb import load_sample_data as load_sample_data
    from workshop.parts.mongodb import verify_mongodb as verify_mongodb

_HOME = {
    "add_gpu_nodes": "parts.gpu_nodes",
    "check_environment": "parts.environment",
    "clean_up": "parts.clean_up",
    "connect": "connecting",
    "create_agent": "agent.agent",
    "declared_network": "operate.secure.network",
    "deploy_llama_stack": "parts.llama_stack",
    "deploy_mcp_server": "parts.mcp_server",
    "deploy_mongodb": "parts.mongodb",
    "deploy_prometheus": "operate.watch.scrape",
    "find_bottleneck": "operate.scale.measure",
    "follow_question": "operate.watch.logs",
    "front_doors": "operate.secure.routes",
    "load_sample_data": "parts.mongodb",
    "measure_load": "operate.scale.measure",
    "migrate_mongodb": "operate.scale.mongodb",
    "newest_lines": "operate.watch.logs",
    "pages": "operate.watch.scrape",
    "plot_load": "operate.scale.measure",
    "query": "operate.watch.scrape",
    "question_box": "agent.agent",
    "register_mcp_server": "parts.mcp_server",
    "resize_mongodb": "operate.scale.mongodb",
    "rotate_credential": "operate.secure.credentials",
    "rotate_credentials": "operate.secure.credentials",
    "scale_gpu_nodes": "parts.gpu_nodes",
    "scale_out": "operate.scale.replicas",
    "secure_network": "operate.secure.network",
    "serve_model": "parts.model",
    "share_storage": "operate.scale.replicas",
    "try_network": "operate.secure.network",
    "verify_answers": "agent.questions",
    "verify_clean_up": "parts.clean_up",
    "verify_gpu_nodes": "parts.gpu_nodes",
    "verify_llama_stack": "parts.llama_stack",
    "verify_mcp_server": "parts.mcp_server",
    "verify_model": "parts.model",
    "verify_mongodb": "parts.mongodb",
    "verify_network": "operate.secure.network",
    "verify_registration": "parts.mcp_server",
    "verify_scale_out": "operate.scale.replicas",
    "verify_watching": "operate.watch.verify",
    "watch_questions": "operate.watch.burst",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'workshop' has no attribute {name!r}")
    return getattr(import_module(f"workshop.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
