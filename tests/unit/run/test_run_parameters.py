"""A notebook's parameters: which exist, and what the user may pass."""

from __future__ import annotations

import json

import pytest
from workshop.core.errors import SettingsError
from workshop.core.secret import Secret
from workshop.run.steps import Step, assign, declared

CELL = """\
TARGET = "local"  # where parts run
TIMEOUT_SECONDS = 300
TEMPERATURE: float = 0.5
USE_MONGODB = True
MODEL_NAME = ""
MAX_TOKENS = 512
"""


def notebook(tmp_path, name, source):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Title"]},
        {
            "cell_type": "code",
            "metadata": {"tags": ["parameters"]},
            "source": source.splitlines(keepends=True),
        },
    ]
    path = tmp_path / f"{name}.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    return Step(path)


@pytest.fixture
def step(tmp_path):
    return notebook(tmp_path, "02_serve_model", CELL)


def passed(step, *given, **options):
    return dict(assign([step], given, target="local", **options)[0].parameters)


def refused(step, *given, **options):
    with pytest.raises(SettingsError) as error:
        passed(step, *given, **options)
    return str(error.value)


def test_the_parameters_are_read_from_the_tagged_cell(step):
    assert declared(step) == {
        "TARGET": "local",
        "TIMEOUT_SECONDS": 300,
        "TEMPERATURE": 0.5,
        "USE_MONGODB": True,
        "MODEL_NAME": "",
        "MAX_TOKENS": 512,
    }


def test_a_notebook_without_parameters(tmp_path):
    path = tmp_path / "00_x.ipynb"
    path.write_text('{"cells": [{"cell_type": "code", "metadata": {}, "source": "X = 1"}]}')
    assert declared(Step(path)) == {}
    assert passed(Step(path)) == {}


@pytest.mark.parametrize("source", ["X = 1 + n", "X = (", "X = open('f')"])
def test_a_default_must_be_a_literal(tmp_path, source):
    broken = notebook(tmp_path, "00_x", source)
    with pytest.raises(SettingsError, match="must hold plain literals only") as error:
        declared(broken)
    assert f"Where: {broken.path}" in str(error.value)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("TIMEOUT_SECONDS=60", {"TIMEOUT_SECONDS": 60}),
        ("TEMPERATURE=1", {"TEMPERATURE": 1.0}),
        ("TEMPERATURE=0.25", {"TEMPERATURE": 0.25}),
        ("USE_MONGODB=False", {"USE_MONGODB": False}),
        ("USE_MONGODB=false", {"USE_MONGODB": False}),
        ("MODEL_NAME=qwen", {"MODEL_NAME": "qwen"}),
        ("MODEL_NAME=70", {"MODEL_NAME": "70"}),
        ("MODEL_NAME='a b'", {"MODEL_NAME": "a b"}),
        ("MODEL_NAME=a=b", {"MODEL_NAME": "a=b"}),
        ("MODEL_NAME=", {"MODEL_NAME": ""}),
        ("MAX_TOKENS=8", {"MAX_TOKENS": 8}),
    ],
)
def test_a_value_gets_the_type_of_the_default(step, given, value):
    assert passed(step, given) == {"TARGET": "local"} | value


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("TIMEOUT_SECONDS=soon", "int, as in 300, and 'soon' is not"),
        ("TIMEOUT_SECONDS=True", "int, as in 300, and 'True' is not"),
        ("TIMEOUT_SECONDS=1.5", "int, as in 300, and '1.5' is not"),
        ("USE_MONGODB=1", "bool, as in True, and '1' is not"),
        ("TEMPERATURE=hot", "float, as in 0.5, and 'hot' is not"),
    ],
)
def test_a_value_of_another_type(step, given, wanted):
    name = given.split("=")[0]
    assert refused(step, given) == (
        "These parameters cannot be used.\n"
        f"  Last state: {name} of 02_serve_model is of type {wanted}\n"
        "  Hint: workshop run --help"
    )


def test_an_unknown_parameter_lists_those_that_exist(step):
    assert refused(step, "timeout_second=3") == (
        "These parameters cannot be used.\n"
        "  Last state: no notebook of this run has a parameter timeout_second, "
        "did you mean TIMEOUT_SECONDS?\n"
        "  Hint: parameters of this run: MAX_TOKENS = 512, MODEL_NAME = '', TARGET = 'local', "
        "TEMPERATURE = 0.5, TIMEOUT_SECONDS = 300, USE_MONGODB = True"
    )


def test_each_notebook_gets_what_it_declares(tmp_path, step):
    other = notebook(tmp_path, "03_deploy", 'SERVER = "llama-stack"\nTIMEOUT_SECONDS = 600')
    first, second = assign([step, other], ["SERVER=ogx", "TIMEOUT_SECONDS=9"], target="cluster")
    assert dict(first.parameters) == {"TARGET": "cluster", "TIMEOUT_SECONDS": 9}
    assert dict(second.parameters) == {"SERVER": "ogx", "TIMEOUT_SECONDS": 9}


def test_a_part_that_is_left_out_is_not_used(step):
    assert passed(step, without=["mongodb"]) == {"TARGET": "local", "USE_MONGODB": False}


def test_the_target_has_an_option_of_its_own(step):
    assert "Last state: TARGET is given by --target" in refused(step, "TARGET=cluster")


@pytest.mark.parametrize(
    "given",
    [
        "MODEL_TOKEN=hunter2",
        "DB_PASSWORD=hunter2",
        "apiKey=hunter2",
        "CLIENT_SECRET=hunter2",
        "MODEL_NAME=sk-hunter2hunter2",
        "MODEL_NAME=hf_hunter2hunter2",
        "MODEL_URL=https://user:hunter2@example.org/v1",
        "MODEL_NAME='Bearer hunter2'",
        "MODEL_NAME=my-known-hunter2",
    ],
)
def test_a_credential_is_refused_and_not_repeated(step, given):
    text = refused(step, given, secrets=[Secret("known-hunter2")])
    assert text == (
        "These parameters cannot be used.\n"
        f"  Last state: {given.split('=')[0]} looks like a credential\n"
        "  Hint: put credentials into the environment, as MODEL_TOKEN"
    )


@pytest.mark.parametrize("given", ["hunter2", "=hunter2", "two words=hunter2"])
def test_something_else_than_a_parameter_is_not_repeated(step, given):
    text = refused(step, given)
    assert "Last state: -p takes name=value" in text
    assert "hunter2" not in text


def test_all_problems_are_told_at_once(step):
    text = refused(step, "A_TOKEN=x", "nothing=1", "TIMEOUT_SECONDS=x")
    assert "A_TOKEN looks like a credential; no notebook of this run has" in text
    assert "; TIMEOUT_SECONDS of 02_serve_model is of type int" in text
    assert "Hint: put credentials into the environment, as MODEL_TOKEN; parameters of" in text
