"""A credential that does not show itself."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from dataclasses import replace

import pytest
from workshop.core.secret import Secret, mask
from workshop.targets.base import Endpoint

VALUE = "hunter2-of-this-test"


def test_only_reveal_gives_it_out():
    assert Secret(VALUE).reveal() == VALUE


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{:>40}".format,
        lambda secret: f"{secret!s} {secret!r}",
        lambda secret: "%s" % secret,  # noqa: UP031
        lambda secret: repr([secret, {"token": secret}]),
        lambda secret: repr(Endpoint("http://h:1", token=secret, user="u", password=secret)),
        lambda secret: "".join(traceback.format_exception(ValueError(secret))),
        lambda secret: logging.makeLogRecord({"msg": "%s", "args": (secret,)}).getMessage(),
    ],
)
def test_it_shows_nowhere(show):
    shown = show(Secret(VALUE))
    assert VALUE not in shown
    assert "****" in shown


def test_it_is_not_written_by_pickle_copy_or_json():
    for write in (pickle.dumps, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as error:
            write(Secret(VALUE))
        assert VALUE not in str(error.value)
    with pytest.raises(TypeError, match="a Secret is not pickled"):
        pickle.dumps(Secret(VALUE))


def test_it_has_no_dictionary_to_look_into():
    with pytest.raises(TypeError):
        vars(Secret(VALUE))


def test_equal_secrets_are_equal_and_nothing_else_is():
    assert Secret(VALUE) == Secret(VALUE)
    assert len({Secret(VALUE), Secret(VALUE)}) == 1
    assert Secret(VALUE) != Secret("another")
    assert Secret("grüße") == Secret("grüße")
    assert Secret(VALUE) != VALUE
    assert replace(Endpoint("http://h:1", token=Secret(VALUE))).token == Secret(VALUE)


def test_an_empty_secret_is_refused():
    with pytest.raises(ValueError, match="a secret must not be empty"):
        Secret("")


def test_masking_leaves_the_rest():
    assert mask("token a1b2c3d4, twice: a1b2c3d4!", [Secret("a1b2c3d4")]) == (
        "token ****, twice: ****!"
    )
    assert mask("nothing here", [Secret("a1b2c3d4")]) == "nothing here"
    assert mask("no secrets", []) == "no secrets"


def test_a_secret_that_is_part_of_another_leaves_no_rest():
    for order in ([Secret("abcd"), Secret("abcdefgh")], [Secret("abcdefgh"), Secret("abcd")]):
        assert mask("abcdefgh abcd", order) == "**** ****"


def test_a_secret_in_a_url_is_masked_too():
    secret = Secret("p@ss/word with=all")
    text = "mongodb://u:p%40ss%2Fword%20with%3Dall@h http://h?q=p%40ss%2Fword+with%3Dall"
    assert mask(text, [secret]) == "mongodb://u:****@h http://h?q=****"
    assert mask("p@ss/word with=all", (one for one in [secret])) == "****"
