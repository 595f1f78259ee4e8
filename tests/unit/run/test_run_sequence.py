"""Which notebooks a run consists of."""

from __future__ import annotations

import pytest
from workshop.core.errors import SettingsError
from workshop.run.steps import find, read, select

NAMES = (
    *("00_check_environment", "01_add_gpu_nodes", "02_serve_model", "04_deploy_mongodb"),
    *("06_register_mcp_server", "07_ask_the_agent", "99_clean_up"),
)


@pytest.fixture
def steps(tmp_path):
    for name in (*NAMES, "_template", "notes", "1_short"):
        (tmp_path / f"{name}.ipynb").write_text("{}")
    (tmp_path / "05_notes.md").write_text("")
    return find(tmp_path)


def numbers(steps):
    return [step.number for step in steps]


def test_only_numbered_notebooks_count_in_their_order(steps):
    assert [step.name for step in steps] == list(NAMES)


def test_a_folder_without_notebooks(tmp_path):
    with pytest.raises(SettingsError) as error:
        find(tmp_path)
    assert str(error.value) == (
        f"There is no numbered notebook to run.\n  Where: {tmp_path}\n"
        "  Hint: --notebooks names the folder that holds 00_... to 99_..."
    )


def test_two_notebooks_with_one_number(tmp_path, steps):
    (tmp_path / "02_other.ipynb").write_text("{}")
    with pytest.raises(SettingsError, match=r"Last state: 02_other, 02_serve_model\n"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ({}, ["00", "01", "02", "04", "06", "07"]),
        ({"clean_up": True}, ["00", "01", "02", "04", "06", "07", "99"]),
        ({"first": "02", "last": "4"}, ["02", "04"]),
        ({"first": "02_serve_model"}, ["02", "04", "06", "07"]),
        ({"last": "add_gpu_nodes"}, ["00", "01"]),
        ({"only": "06_register_mcp_server.ipynb"}, ["06"]),
        ({"only": "99"}, ["99"]),
        ({"only": "99", "clean_up": True}, ["99"]),
        ({"only": "7", "clean_up": True}, ["07", "99"]),
        ({"first": "07", "last": "99"}, ["07"]),
    ],
)
def test_what_is_selected(steps, wanted, chosen):
    assert numbers(select(steps, **wanted)) == chosen


@pytest.mark.parametrize("where", ["first", "last", "only"])
def test_an_unknown_step_lists_those_that_exist(steps, where):
    with pytest.raises(SettingsError) as error:
        select(steps, **{where: "serve_models"})
    assert str(error.value) == (
        "There is no step 'serve_models'.\n"
        f"  Last state: steps: {', '.join(NAMES)}\n"
        "  Hint: did you mean 02_serve_model?"
    )


def test_a_number_that_does_not_exist(steps):
    with pytest.raises(SettingsError, match="Hint: name a step by its number"):
        select(steps, first="42")


@pytest.mark.parametrize("wanted", [{"first": "99"}, {"first": "04", "last": "02"}])
def test_a_selection_of_nothing(steps, wanted):
    with pytest.raises(SettingsError, match="No step is left to run") as error:
        select(steps, **wanted)
    assert "Hint: 99 runs with --clean-up, or alone with --only 99" in str(error.value)


def test_only_excludes_a_range(steps):
    with pytest.raises(SettingsError, match="--only cannot be combined with --from or --to"):
        select(steps, first="02", only="04")


def test_an_optional_part_is_left_out_with_its_reason(steps):
    reasons = {step.number: step.skip for step in select(steps, without=["mongodb"])}
    why = "started with --without mongodb"
    assert reasons == {"00": "", "01": "", "02": "", "04": why, "06": why, "07": ""}


def test_a_part_that_is_not_optional(steps):
    with pytest.raises(SettingsError) as error:
        select(steps, without=["model"])
    assert str(error.value) == (
        "--without model: this part cannot be left out.\n"
        "  Last state: optional parts: mongodb\n"
        "  Hint: workshop run --without mongodb"
    )


@pytest.mark.parametrize("content", ["not JSON", "[]", '{"cells": 1}', None])
def test_a_file_that_is_no_notebook(tmp_path, content):
    path = tmp_path / "00_broken.ipynb"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match="A notebook cannot be read") as error:
        read(path)
    assert "Hint: git checkout -- 00_broken.ipynb" in str(error.value)
