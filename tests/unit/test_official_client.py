"""The pieces of the official client come without the rest, and leave the rest as it was."""

from __future__ import annotations

import subprocess
import sys

PIECES = "from workshop.targets.cluster import api; p = api.official_pieces()"


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_no_class_for_each_kind_is_loaded():
    code = f"import sys; {PIECES}; print(p.ApiClient(p.Configuration()).configuration.host)"
    assert python(code + "; print([m for m in sys.modules if 'kubernetes' in m])").endswith("[]")


def test_who_imports_the_client_later_gets_the_whole():
    code = f"{PIECES}; from kubernetes import client; from kubernetes.stream import portforward"
    code += "; print(client.V1Pod(), client.CoreV1Api(client.ApiClient(p.Configuration())))"
    assert "CoreV1Api" in python(code)


def test_a_client_that_is_loaded_already_is_used():
    code = f"import kubernetes.client as c; {PIECES}; print(p.ApiClient is c.ApiClient)"
    assert python(code) == "True"


def test_a_login_that_is_none_has_the_same_error():
    code = f"{PIECES}\ntry:\n    p.config.load_kube_config(config_file='/nonexistent')\n"
    code += "except p.config.ConfigException as error:\n    print('refused', error)"
    assert python(code).startswith("refused")
