"""The public names, under the first notebook that uses each: the one list of them.

`lazy_loader` takes from here where a name is; mypy and editors take its type. A page for people is
made from the same list: docs/library.md, by `make fix`.
"""
# isort: skip_file

# 00_check_environment
from .connecting import connect as connect
from .connecting import check_environment as check_environment

# 01_add_gpu_nodes
from .parts.gpu_nodes import add_gpu_nodes as add_gpu_nodes
from .parts.gpu_nodes import verify_gpu_nodes as verify_gpu_nodes
from .operate.exercises import check_exercise as check_exercise

# 02_serve_model
from .parts.model import serve_model as serve_model
from .parts.model import verify_model as verify_model
from .parts.model import ask_model as ask_model

# 03_deploy_llama_stack
from .parts.llama_stack import deploy_llama_stack as deploy_llama_stack
from .parts.llama_stack import verify_llama_stack as verify_llama_stack
from .parts.llama_stack import search_runbooks as search_runbooks

# 04_deploy_mongodb
from .parts.mongodb import deploy_mongodb as deploy_mongodb
from .parts.mongodb import load_sample_data as load_sample_data
from .parts.mongodb import verify_mongodb as verify_mongodb
from .parts.mongodb import query_mongodb as query_mongodb

# 05_deploy_mcp_server
from .parts.mcp_server import deploy_mcp_server as deploy_mcp_server
from .parts.mcp_server import verify_mcp_server as verify_mcp_server
from .parts.mcp_server import call_tool as call_tool

# 06_register_mcp_server
from .parts.mcp_server import register_mcp_server as register_mcp_server
from .parts.mcp_server import verify_registration as verify_registration
from .parts.mcp_server import list_tools as list_tools

# 07_ask_the_agent
from .agent.agent import create_agent as create_agent
from .agent.questions import verify_answers as verify_answers
from .agent.widget import question_widget as question_widget

# 08_secure_the_network
from .operate.secure import declared_network as declared_network
from .operate.secure import secure_network as secure_network
from .operate.secure import probe_network as probe_network
from .operate.secure import list_routes as list_routes
from .operate.credentials import rotate_credentials as rotate_credentials
from .operate.secure import verify_network as verify_network

# 09_watch_the_system
from .operate.metrics import deploy_prometheus as deploy_prometheus
from .operate.metrics import list_scrape_targets as list_scrape_targets
from .operate.burst import measure_burst as measure_burst
from .operate.logs import tail_logs as tail_logs
from .operate.logs import follow_question as follow_question
from .operate.burst import verify_monitoring as verify_monitoring
from .operate.metrics import query_prometheus as query_prometheus

# 10_scale_out
from .operate.load import measure_load as measure_load
from .operate.load import find_bottleneck as find_bottleneck
from .operate.replicas import share_storage as share_storage
from .operate.replicas import scale_out as scale_out
from .parts.gpu_nodes import scale_gpu_nodes as scale_gpu_nodes
from .operate.load import plot_load as plot_load
from .operate.replicas import resize_mongodb as resize_mongodb
from .operate.replicas import migrate_mongodb as migrate_mongodb
from .operate.replicas import verify_scale_out as verify_scale_out

# 11_approve_a_change
from .parts.mcp_writer import deploy_mcp_writer as deploy_mcp_writer
from .agent.approval import propose_change as propose_change
from .agent.widget import approval_widget as approval_widget
from .agent.approval import try_injection as try_injection
from .agent.approval import list_approvals as list_approvals
from .agent.approval import verify_approvals as verify_approvals

# 99_clean_up
from .connecting import clean_up as clean_up
from .connecting import verify_clean_up as verify_clean_up
