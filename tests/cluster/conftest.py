"""A real Kubernetes node for all tests of this folder; they are skipped where there can be none."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import pytest
from testcluster import images
from testcluster.node import FOLDER, Node
from testcluster.place import Place
from testcluster.programs import Missing, debian_programs, go_programs

PROBE = "registry.test/probe:1"

PROBE_GO = """package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if os.Args[1] == "serve" {
		http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "uid %d", os.Getuid())
		})
		fmt.Println(http.ListenAndServe(":8080", nil))
		os.Exit(1)
	}
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(os.Args[2])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	text, _ := io.ReadAll(answer.Body)
	fmt.Printf("%d %s", answer.StatusCode, text)
}
"""


@pytest.fixture(scope="session")
def say() -> Callable[[str], None]:
    """Progress, seen at once: the first build takes a quarter of an hour."""
    return lambda text: print(f"  {text}", file=sys.__stderr__, flush=True)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory, say: Callable[[str], None]) -> Iterator[Node]:
    """The running node."""
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("a node needs Linux, and root")
    node = Node(FOLDER)
    try:
        node.up(say)
        place = Place(node.folder, go_programs(say), debian_programs(say))
        binary = images.compiled(place.go, "probe", PROBE_GO)
        images.add(place.ctr, PROBE, {"/probe": binary}, entrypoint=("/probe",))
        yield node
    except Missing as missing:
        pytest.skip(str(missing))
    finally:
        node.down(say)
