"""Command lines: a misspelt flag names the nearest, our errors are a sentence and an exit code, the rest is a crash."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from contract.cli import Parser, add_common, run, uninterrupted, workspace_of
from contract.errors import EXIT_MEANINGS, LoadproofError, ParityError, ServerError, UsageError


def parser() -> Parser:
    made = Parser(prog="loadproof")
    add_common(made)
    return made


@pytest.fixture(autouse=True)
def _sigterm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """run() takes SIGTERM over; the test run gets its own back."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "argv", ["loadproof", "--group", "all"])
    yield
    signal.signal(signal.SIGTERM, before)


def refusal(capsys: pytest.CaptureFixture[str], made: Parser, *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        made.parse_args(arguments)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err.rstrip()


def test_the_common_flags_have_defaults() -> None:
    arguments = parser().parse_args([])
    assert (arguments.config, arguments.workspace, arguments.group) == (Path("models.toml"), Path("."), "default")


def test_the_workspace_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert workspace_of(parser().parse_args(["--workspace", "there"])).root == tmp_path / "there"


def test_help_shows_the_defaults() -> None:
    text = " ".join(parser().format_help().split())
    assert "(default: models.toml)" in text
    assert "(default: default)" in text


def test_help_is_silent_where_there_is_no_default() -> None:
    described = parser()
    described.add_argument("--only", action="append", default=[], help="one of several")
    described.add_argument("--most", type=float, default=float("inf"), help="a ceiling")
    described.add_argument("--again", action="store_true", help="once more")
    described.add_argument("--extra", type=int, default=0, help="how many more")
    text = " ".join(described.format_help().split())
    assert "one of several --most" in text and "a ceiling --again" in text and "once more --extra" in text
    assert "how many more (default: 0)" in text


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("--confg", "unknown flag or word '--confg'; did you mean '--config'?"),
        ("--confg=x.toml", "unknown flag or word '--confg'; did you mean '--config'?"),
        ("--grup", "unknown flag or word '--grup'; did you mean '--group'?"),
        ("--zzzzzzzz", "unknown flag or word '--zzzzzzzz'; see --help"),
        ("everything", "unknown flag or word 'everything'; see --help"),
        ("", "unknown flag or word ''; see --help"),
    ],
)
def test_an_unknown_flag_names_the_nearest(capsys: pytest.CaptureFixture[str], word: str, sentence: str) -> None:
    assert refusal(capsys, parser(), word) == f"loadproof: {sentence}"


def test_a_flag_is_never_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown flag or word '--conf'" in refusal(capsys, parser(), "--conf", "x.toml")


def test_a_flag_without_its_value_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, parser(), "--group") == "loadproof: argument --group: expected one argument"


def test_an_unknown_flag_of_a_subcommand_names_the_nearest_of_that_subcommand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = Parser(prog="serving")
    commands = made.add_subparsers(dest="command", required=True, parser_class=Parser)
    add_common(commands.add_parser("up"))
    assert "unknown flag or word '--confg'; did you mean '--config'?" in refusal(
        capsys, made, "up", "--confg", "x.toml"
    )


def with_commands() -> Parser:
    """``up`` takes --install, ``down`` takes --forget, both take --address; ``list`` takes neither."""
    made = Parser(prog="serving")
    commands = made.add_subparsers(dest="command", required=True, parser_class=Parser)
    for name, own in (("up", "--install"), ("down", "--forget"), ("list", "--all")):
        command = commands.add_parser(name)
        command.add_argument(own, action="store_true")
        if name != "list":
            command.add_argument("--address")
    return made


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["up", "--forget"], "'--forget' is a flag of 'down', not of 'up'"),
        (["down", "--install=yes"], "'--install' is a flag of 'up', not of 'down'"),
        (["--install", "up"], "'--install' comes after 'up'"),
        (["list", "--address", "8000"], "'--address' is a flag of 'up' and 'down', not of 'list'"),
    ],
)
def test_a_flag_of_another_subcommand_names_that_one(
    capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert refusal(capsys, with_commands(), *words) == f"serving: {sentence}"


def test_a_misspelt_flag_is_never_answered_with_one_that_its_subcommand_does_not_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refusal(capsys, with_commands(), "up", "--forgt") == "serving: unknown flag or word '--forgt'; see --help"
    assert "did you mean '--forget'?" in refusal(capsys, with_commands(), "down", "--forgt")


def test_what_is_known_to_its_subcommand_is_taken() -> None:
    arguments = with_commands().parse_args(["up", "--install", "--address", "8000"])
    assert (arguments.command, arguments.install, arguments.address) == ("up", True, "8000")


def exit_code(main: Callable[[Sequence[str]], int]) -> int:
    with pytest.raises(SystemExit) as caught:
        run(main)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def raising(error: BaseException) -> Callable[[Sequence[str]], int]:
    def main(_: Sequence[str]) -> int:
        raise error

    return main


@pytest.mark.parametrize("code", EXIT_MEANINGS)
def test_a_command_exits_with_the_code_it_returns(code: int) -> None:
    assert exit_code(lambda _: code) == code


def test_a_command_is_given_the_words_after_its_name() -> None:
    seen: list[str] = []

    def main(words: Sequence[str]) -> int:
        seen.extend(words)
        return 0

    assert exit_code(main) == 0
    assert seen == ["--group", "all"]


@pytest.mark.parametrize(("kind", "code"), [(LoadproofError, 2), (UsageError, 2), (ServerError, 3), (ParityError, 5)])
def test_an_error_of_ours_is_a_sentence_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], kind: type[LoadproofError], code: int
) -> None:
    assert exit_code(raising(kind("port 8000 is in use; stop its owner"))) == code
    captured = capsys.readouterr()
    assert captured.err == "error: port 8000 is in use; stop its owner\n"
    assert captured.out == ""
    assert code in EXIT_MEANINGS


def test_ctrl_c_exits_with_130_and_no_stack_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_sigterm_ends_a_command_as_ctrl_c_does(capsys: pytest.CaptureFixture[str]) -> None:
    cleaned: list[str] = []

    def main(_: Sequence[str]) -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
            return 0
        finally:
            cleaned.append("finally")

    assert exit_code(main) == 130
    assert cleaned == ["finally"]
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_held_back_until_the_block_has_ended(number: signal.Signals) -> None:
    done: list[str] = []
    before = signal.getsignal(number)

    def block() -> None:
        with uninterrupted():
            signal.raise_signal(number)
            done.append("written down")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["written down"]
    assert signal.getsignal(number) == before


def test_a_block_that_nobody_interrupts_raises_its_own_error_only() -> None:
    before = signal.getsignal(signal.SIGINT)
    with uninterrupted():
        pass
    with pytest.raises(ServerError), uninterrupted():
        raise ServerError("the server died")
    assert signal.getsignal(signal.SIGINT) == before


def test_a_program_error_keeps_its_stack_trace() -> None:
    """It is not ours to word; that it is not swallowed is all that is promised here."""
    with pytest.raises((ZeroDivisionError, SystemExit)):
        run(lambda _: 1 // 0)


def command(body: str) -> list[str]:
    """A command of one function body, as a process of its own."""
    text = "import sys\nfrom contract.cli import run\ndef main(arguments):\n" + textwrap.indent(
        textwrap.dedent(body), "    "
    )
    return [sys.executable, "-c", text + "\nrun(main)\n"]


def test_a_crash_is_not_mistaken_for_a_missed_objective(request: pytest.FixtureRequest) -> None:
    """Python's own exit code of an uncaught exception is 1, which means here that an SLO was missed."""
    ended = subprocess.run(
        command("raise ValueError('a bug')"), cwd=request.config.rootpath, capture_output=True, text=True, timeout=60
    )
    assert "ValueError: a bug" in ended.stderr
    assert "Traceback" in ended.stderr
    assert ended.returncode not in EXIT_MEANINGS


def test_a_server_that_closes_its_connection_is_no_success(request: pytest.FixtureRequest) -> None:
    """Only a reader of our own output that went away is none of our business."""
    ended = subprocess.run(
        command("raise BrokenPipeError('the server went away')"),
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert "the server went away" in ended.stderr


def test_a_reader_that_leaves_early_hears_no_complaint(request: pytest.FixtureRequest) -> None:
    child = subprocess.Popen(
        command("for n in range(200_000):\n    print('line', n)\nreturn 0"),
        cwd=request.config.rootpath, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None and child.stderr is not None
    assert child.stdout.readline() == "line 0\n"
    child.stdout.close()
    complaint = child.stderr.read()
    child.stderr.close()
    child.wait(timeout=60)
    assert complaint == ""


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device; make room or choose another folder with --workspace"),
        (errno.EROFS, "Read-only file system; make it writable or choose another folder"),
        (errno.EACCES, "Permission denied; give this user the right to it"),
        (errno.EMFILE, "Too many open files; raise the limit of open files"),
    ],
)
def test_what_the_machine_refuses_is_a_sentence_with_a_next_step(
    capsys: pytest.CaptureFixture[str], number: int, words: str
) -> None:
    def main(_: Sequence[str]) -> int:
        raise OSError(number, os.strerror(number), "/data/model_repository")

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 3
    text = capsys.readouterr().err
    assert text.startswith(f"error: /data/model_repository: {words}")
    assert "Traceback" not in text
