"""What `make` hands to the commands that load: every flag can be given, and the page about them says so rightly."""

from __future__ import annotations

import re
import shlex
import tomllib
from argparse import Namespace
from collections.abc import Callable

import pytest

from contract.load import LONGEST_S, REQUESTS, SHORTEST_S, Load
from loadtest.__main__ import _parser
from loadtest.certification.command import _parser as certify_parser
from tests.conftest import ROOT
from tests.making import told
from tune.scale.command import _options as scale_options
from tune.search.command import _parser as search_parser

# target -> the command that sends the load, and how it reads what it is given
COMMANDS: dict[str, tuple[str, Callable[[list[str]], Namespace]]] = {
    "loadtest": ("loadtest", lambda words: _parser().parse_args(words)),
    "soak": ("loadtest", lambda words: _parser().parse_args(words)),
    "overload": ("loadtest", lambda words: _parser().parse_args(words)),
    "slo": ("tune search", lambda words: search_parser().parse_args(words)),
    "scale": ("tune scale", scale_options),
    "certify": ("loadtest certify", lambda words: certify_parser().parse_args(words)),
}


def typed(*words: str, command: str = "loadtest") -> list[str]:
    """The arguments with which ``make words…`` would run the load command, or another one."""
    (line,) = [line for line in told(*words).splitlines() if f" -m {command} " in line]
    return shlex.split(line.split(f" -m {command} ")[1])


@pytest.mark.parametrize("target", ["loadtest", "soak", "overload"])
def test_a_host_and_a_ceiling_can_be_given_to_every_target_that_loads(target: str) -> None:
    options = _parser().parse_args(typed(target, "LOADTEST=--allow-host gpu1 --allow-host gpu2 --max-rps 500"))
    assert (options.allow_host, options.max_rps) == (["gpu1", "gpu2"], 500.0)


@pytest.mark.parametrize("target", COMMANDS)
def test_hosts_and_ceiling_are_variables_of_every_target_that_loads(target: str) -> None:
    command, parse = COMMANDS[target]
    options = parse(typed(target, "ALLOW_HOST=gpu1 gpu2", "MAX_RPS=500", command=command))
    assert options.allow_host == ["gpu1", "gpu2"]
    assert target == "certify" or options.max_rps == 500.0  # it asks a host a single request


@pytest.mark.parametrize("target", COMMANDS)
def test_without_the_variables_no_host_is_allowed(target: str) -> None:
    command, parse = COMMANDS[target]
    assert parse(typed(target, command=command)).allow_host == []


@pytest.mark.parametrize("target", COMMANDS)
@pytest.mark.parametrize(("words", "group"), [([], None), (["GROUP=vision"], "vision"), (["GROUP=all"], "all")])
def test_what_is_served_is_loaded_whole_unless_a_group_is_named(
    target: str, words: list[str], group: str | None
) -> None:
    command, parse = COMMANDS[target]
    assert parse(typed(target, *words, command=command)).group == group


def test_without_them_nothing_beyond_this_machine_is_allowed_and_nobody_is_waited_for() -> None:
    options = _parser().parse_args(typed("loadtest"))
    assert (options.allow_host, options.max_rps, options.workers, options.bind) == ([], None, 0, "127.0.0.1")


def test_the_command_for_several_machines_in_the_page_of_the_load_test_is_one() -> None:
    page = (ROOT / "docs" / "loadtest.md").read_text()
    (line,) = re.findall(r"^make (loadtest WORKERS=.*)$", page, re.M)
    options = _parser().parse_args(typed(*shlex.split(line)))
    assert options.workers > 0 and options.bind != "127.0.0.1"
    assert options.allow_host and options.max_rps


def test_the_defaults_in_the_page_of_the_load_test_are_those_of_the_table() -> None:
    block = re.findall(r"```toml\n(\[load\]\n.*?)```", (ROOT / "docs" / "loadtest.md").read_text(), re.S)[0]
    shown = tomllib.loads(block)["load"]
    assert len(shown) > 5
    assert shown == {name: getattr(Load(), name) for name in shown}


def test_the_models_toml_of_this_checkout_changes_no_default_as_the_page_says() -> None:
    load = tomllib.loads((ROOT / "models.toml").read_text())["load"]
    assert load == {name: getattr(Load(), name) for name in load}
    sentence = "These are the defaults, and the `models.toml` of this checkout changes none."
    assert sentence in (ROOT / "docs" / "loadtest.md").read_text()


def test_the_length_of_an_open_loop_stage_in_the_page_of_the_load_test_is_the_default() -> None:
    page = (ROOT / "docs" / "loadtest.md").read_text()
    assert re.findall(r"^# open_duration_s = (.*?) +# .* up to a minute .* (\d+) requests", page, re.M) == [
        (str(SHORTEST_S), str(REQUESTS))
    ]
    assert LONGEST_S == 60.0
