"""The public names: all that a notebook needs.

    >>> from workshop import connect, deploy_mongodb, verify_mongodb

One verb deploys a part, one proves that it works. Nothing is imported before it is used: a
notebook's kernel then starts in the time of a bare Python.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workshop.agent import create_agent as create_agent
    from workshop.box import question_box as question_box
    from workshop.burst import watch_questions as watch_questions
    from workshop.cleaning import clean_up as clean_up
    from workshop.cleaning import verify_clean_up as verify_clean_up
    from workshop.connecting import connect as connect
    from workshop.doors import front_doors as front_doors
    from workshop.environment import check_environment as check_environment
    from workshop.gpu_nodes import add_gpu_nodes as add_gpu_nodes
    from workshop.gpu_nodes import scale_gpu_nodes as scale_gpu_nodes
    from workshop.gpu_nodes import verify_gpu_nodes as verify_gpu_nodes
    from workshop.llama_stack import deploy_llama_stack as deploy_llama_stack
    from workshop.llama_stack import verify_llama_stack as verify_llama_stack
    from workshop.loglines import follow_question as follow_question
    from workshop.loglines import newest_lines as newest_lines
    from workshop.mcp_server import deploy_mcp_server as deploy_mcp_server
    from workshop.mcp_server import verify_mcp_server as verify_mcp_server
    from workshop.measuring import find_bottleneck as find_bottleneck
    from workshop.measuring import measure_load as measure_load
    from workshop.measuring import plot_load as plot_load
    from workshop.model import serve_model as serve_model
    from workshop.model import verify_model as verify_model
    from workshop.mongodb import deploy_mongodb as deploy_mongodb
    from workshop.mongodb import load_sample_data as load_sample_data
    from workshop.mongodb import verify_mongodb as verify_mongodb
    from workshop.mongodb_replicas import migrate_mongodb as migrate_mongodb
    from workshop.mongodb_scale import resize_mongodb as resize_mongodb
    from workshop.monitoring import deploy_prometheus as deploy_prometheus
    from workshop.monitoring import pages as pages
    from workshop.monitoring import query as query
    from workshop.questions import verify_answers as verify_answers
    from workshop.registration import register_mcp_server as register_mcp_server
    from workshop.registration import verify_registration as verify_registration
    from workshop.replicas import scale_out as scale_out
    from workshop.replicas import share_storage as share_storage
    from workshop.replicas import verify_scale_out as verify_scale_out
    from workshop.rotation import rotate_credential as rotate_credential
    from workshop.rotation import rotate_credentials as rotate_credentials
    from workshop.securing import declared_network as declared_network
    from workshop.securing import secure_network as secure_network
    from workshop.securing import try_network as try_network
    from workshop.securing import verify_network as verify_network
    from workshop.watching import verify_watching as verify_watching

_HOME = {
    "add_gpu_nodes": "gpu_nodes",
    "check_environment": "environment",
    "clean_up": "cleaning",
    "connect": "connecting",
    "create_agent": "agent",
    "declared_network": "securing",
    "deploy_llama_stack": "llama_stack",
    "deploy_mcp_server": "mcp_server",
    "deploy_mongodb": "mongodb",
    "deploy_prometheus": "monitoring",
    "find_bottleneck": "measuring",
    "follow_question": "loglines",
    "front_doors": "doors",
    "load_sample_data": "mongodb",
    "measure_load": "measuring",
    "migrate_mongodb": "mongodb_replicas",
    "newest_lines": "loglines",
    "pages": "monitoring",
    "plot_load": "measuring",
    "query": "monitoring",
    "question_box": "box",
    "register_mcp_server": "registration",
    "resize_mongodb": "mongodb_scale",
    "rotate_credential": "rotation",
    "rotate_credentials": "rotation",
    "scale_gpu_nodes": "gpu_nodes",
    "scale_out": "replicas",
    "secure_network": "securing",
    "serve_model": "model",
    "share_storage": "replicas",
    "try_network": "securing",
    "verify_answers": "questions",
    "verify_clean_up": "cleaning",
    "verify_gpu_nodes": "gpu_nodes",
    "verify_llama_stack": "llama_stack",
    "verify_mcp_server": "mcp_server",
    "verify_model": "model",
    "verify_mongodb": "mongodb",
    "verify_network": "securing",
    "verify_registration": "registration",
    "verify_scale_out": "replicas",
    "verify_watching": "watching",
    "watch_questions": "burst",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'workshop' has no attribute {name!r}")
    return getattr(import_module(f"workshop.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
