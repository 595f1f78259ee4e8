"""A room's objects as pure functions, and what the command refuses before it asks a cluster."""

from __future__ import annotations

import base64
import copy
import os
import signal
import threading
import time

import pytest
from workshop.cli import main
from workshop.core.errors import PartFailed, SettingsError
from workshop.core.progress import Stages
from workshop.core.secret import Secret
from workshop.room import HEAD, prepare, table
from workshop.room.objects import OWN, ROLE, SHARED, Room, SharedModel, checked, is_right
from workshop.room.prepare import AT_ONCE, Seat, for_all
from workshop.targets.cluster import objects

MODEL = SharedModel("https://model.example.com", "granite", Secret("t0ken"), "PEM")


def everything(room, number):
    """All objects of one attendee, in the order in which they are applied."""
    return [room.build(kind, number) for kind in ("Namespace", *(kind for _, kind in room.kinds))]


def test_each_attendee_gets_these_objects_in_this_order():
    kinds = [thing["kind"] for thing in everything(Room(2, model=MODEL), 2)]
    assert kinds[:4] == ["Namespace", "ResourceQuota", "LimitRange", "RoleBinding"]
    assert kinds[4:] == ["ConfigMap", "Secret"]
    assert [thing["kind"] for thing in everything(Room(2), 1)] == kinds[:-1]
    for thing in everything(Room(2, model=MODEL), 2)[1:]:
        assert thing["metadata"]["namespace"] == "attendee-2"


def test_the_binding_is_for_the_user_and_the_workbench_of_that_namespace():
    binding = Room(3, prefix="lab", user_prefix="student").build("RoleBinding", 3)
    assert binding["roleRef"]["name"] == ROLE == "admin"
    assert [(one["kind"], one["name"]) for one in binding["subjects"]] == [
        ("User", "student3"),
        ("ServiceAccount", "workshop"),
    ]
    assert binding["subjects"][1]["namespace"] == "lab-3"


def test_cleaning_up_with_notebook_99_finds_nothing_of_the_room():
    key, _, value = objects.OURS.partition("=")
    room = Room(1, model=MODEL)
    for thing in [*everything(room, 1), *room.shared([1])]:
        labels = thing["metadata"]["labels"]
        assert labels[key] != value
        assert labels["agent-workshop-kit/room"] == "attendee"
        assert {objects.MANAGED_BY, objects.COMPONENT} <= set(labels)


def test_only_a_shared_model_saves_the_gpu():
    assert Room(1).build("ResourceQuota", 1)["spec"]["hard"] == OWN
    assert Room(1, model=MODEL).build("ResourceQuota", 1)["spec"]["hard"] == SHARED
    assert (SHARED["requests.nvidia.com/gpu"], OWN["requests.nvidia.com/gpu"]) == ("0", "1")


def test_a_namespace_is_a_project_on_openshift_and_restricted_elsewhere():
    plain = Room(1).build("Namespace", 1)["metadata"]
    assert plain["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert "annotations" not in plain
    project = Room(1, openshift=True).build("Namespace", 1)["metadata"]
    assert "pod-security.kubernetes.io/enforce" not in project["labels"]
    assert project["labels"]["pod-security.kubernetes.io/warn"] == "restricted"
    assert project["labels"]["opendatahub.io/dashboard"] == "true"
    assert project["annotations"]["openshift.io/requester"] == "user1"


def test_the_token_is_in_the_secret_and_in_no_repr():
    content = Room(1, model=MODEL).build("Secret", 1)["data"]
    assert {key: base64.b64decode(value).decode() for key, value in content.items()} == {
        "url": "https://model.example.com",
        "name": "granite",
        "token": "t0ken",
        "ca": "PEM",
    }
    assert "t0ken" not in repr(Room(1, model=MODEL))
    assert set(Room(1, model=SharedModel("http://m")).build("Secret", 1)["data"]) == {"url"}


@pytest.mark.parametrize(
    ("namespace", "number"),
    [
        ("attendee-1", 1),
        ("attendee-20", 20),
        *((f"attendee-{end}", None) for end in ("01", "0", "1-2", "", "x")),
        ("attendees-1", None),
        ("an-attendee-1", None),
    ],
)
def test_a_namespace_is_an_attendees_by_its_whole_name(namespace, number):
    assert Room(5).number(namespace) == number


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (Room(-1), "--attendees -1 is below 0"),
        (Room(1, prefix="Attendee"), "--prefix 'Attendee': small letters, digits and dashes"),
        (Room(1, prefix="a" * 62), "63 with the number"),
        (Room(1, prefix="openshift-lab"), "--prefix 'openshift-lab' is the cluster's own"),
        (Room(1, prefix="kube-system"), "is the cluster's own"),
        (Room(1, user_prefix="system:masters"), "--user-prefix 'system:masters' cannot start"),
    ],
)
def test_names_that_cannot_be_are_refused(room, said):
    with pytest.raises(SettingsError) as error:
        checked(room)
    assert said in error.value.state


def test_all_that_is_wrong_with_the_names_is_said_at_once():
    with pytest.raises(SettingsError) as error:
        checked(Room(-1, prefix="A", user_prefix=""))
    assert error.value.state.count(";") == 2


# --- what is right already ------------------------------------------------------------------------


def served(thing):
    """An object as a list of the API server shows it."""
    found = copy.deepcopy(thing)
    del found["kind"], found["apiVersion"]
    found["metadata"] |= {"uid": "1", "managedFields": [{}], "annotations": {"a": "b"}}
    return found | {"status": {"used": {}}}


@pytest.mark.parametrize("kind", ["Namespace", "ResourceQuota", "LimitRange", "RoleBinding"])
def test_what_the_cluster_adds_does_not_count(kind):
    wanted = Room(1).build(kind, 1)
    assert is_right(wanted, served(wanted))
    found = served(wanted)
    found["metadata"]["labels"].pop("agent-workshop-kit/room")
    assert not is_right(wanted, found)


def test_every_difference_counts():
    room = Room(1, model=MODEL)
    for kind, change in (
        ("ResourceQuota", lambda o: o["spec"]["hard"].update(pods="100")),
        ("ResourceQuota", lambda o: o["spec"]["hard"].pop("pods")),
        ("LimitRange", lambda o: o["spec"]["limits"].pop()),
        ("RoleBinding", lambda o: o["subjects"].append({"kind": "User", "name": "mallory"})),
        ("RoleBinding", lambda o: o["subjects"].pop()),
        ("RoleBinding", lambda o: o["subjects"][0].update(kind="Group")),
        ("RoleBinding", lambda o: o["roleRef"].update(name="view")),
        ("RoleBinding", lambda o: o.pop("subjects")),
        ("Secret", lambda o: o["data"].update(token="b3RoZXI=")),
        ("Secret", lambda o: o["data"].pop("token")),
        ("Secret", lambda o: o["data"].update(more="b3RoZXI=")),
    ):
        wanted = room.build(kind, 1)
        found = served(wanted)
        assert is_right(wanted, found)
        change(found)
        assert not is_right(wanted, found), kind


# --- rights ---------------------------------------------------------------------------------------

WANTED = [("apps", "deployments", "create"), ("", "pods/log", "get"), ("", "nodes", "list")]


@pytest.mark.parametrize(
    ("given", "absent"),
    [
        (set(), WANTED),
        ({("*", "*", "*")}, []),
        ({("apps", "*", "create"), ("", "pods/log", "*")}, WANTED[2:]),
        ({("", "deployments", "create"), ("", "pods", "get")}, WANTED),
        (set(WANTED), []),
    ],
)
def test_rights_that_no_rule_gives_are_absent(given, absent):
    assert prepare.lacking(given, WANTED) == absent


def test_a_rule_for_some_names_alone_gives_nothing():
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    assert prepare.granted([rule]) == {("", "secrets", "get")}
    assert prepare.granted([rule | {"resourceNames": ["one"]}]) == set()


# --- many at once ---------------------------------------------------------------------------------


def test_work_is_done_a_few_at_a_time():
    running, most, lock = 0, 0, threading.Lock()
    full = threading.Barrier(AT_ONCE)

    def work(_item):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        full.wait(10)
        with lock:
            running -= 1

    for_all(work, range(AT_ONCE * 3), Stages("Room"), "work")
    assert most == AT_ONCE


def test_the_first_error_ends_it():
    begun = []

    def work(item):
        begun.append(item)
        raise PartFailed("The API server is away.")

    with pytest.raises(PartFailed):
        for_all(work, range(1000), Stages("Room"), "work")
    assert len(begun) <= AT_ONCE


def test_ctrl_c_lets_what_has_begun_end_and_starts_no_more():
    before = signal.getsignal(signal.SIGINT)
    begun, ended = [], []

    def work(item):
        begun.append(item)
        if item == 0:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)  # A request.
        ended.append(item)

    with pytest.raises(KeyboardInterrupt):
        for_all(work, range(1000), Stages("Room"), "work")
    assert sorted(begun) == sorted(ended)
    assert len(begun) < 1000
    assert signal.getsignal(signal.SIGINT) is before


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--attendees", "2", "--prefix", "A"], "The room cannot be prepared like this."),
        (["--attendees", "2", "--model-name", "m"], "--model-name needs --model-url"),
        (["--attendees", "2", "--model-url", "model"], "MODEL_URL is not a URL."),
        (["--remove", "--prefix", "kube"], "is the cluster's own"),
    ],
)
def test_a_wrong_call_asks_no_cluster(arguments, said, capsys, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    assert main(["room", *arguments]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--attendees", "2", "--remove"], ["--attendees", "x"]])
def test_attendees_or_remove_must_be_said(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(["room", *arguments])
    assert end.value.code == 2
    assert "--attendees" in capsys.readouterr().err


def test_there_must_be_a_cluster(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert main(["room", "--attendees", "2"]) == 1
    assert "There is no cluster to connect to." in capsys.readouterr().err


def test_the_table_has_a_line_an_attendee():
    seats = [
        Seat("attendee-1", "user1", "created", "89/89", "yes", "-"),
        Seat("attendee-2", "user2", "left alone", problems=["it is somebody else's"]),
    ]
    lines = table(seats).splitlines()
    assert tuple(lines[0].split()) == HEAD
    assert lines[1] == "attendee-1  user1     created     89/89   yes    -      OK"
    assert lines[2] == "attendee-2  user2     left alone  -       -      -      FAIL"
