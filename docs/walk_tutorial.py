"""Walks the tutorial as a new user would: `python docs/walk_tutorial.py`.

Clones the repository anew, runs every command of the page's `console` blocks in one shell, in their
order, and holds what the page promises against what is printed:

    $ a command         must end with status 0, or with the one that `# status N` behind it names
    > goes on           a second line of the same command
    anything else       a line that is printed, in this order among others; … stands for anything

A block below `<!-- stays -->` starts something that goes on until the walk ends; it is waited for
until it has printed what is promised.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-prediction.md"
LIMIT = 1800.0  # seconds for one command: `make demo` on a busy machine
_BLOCK = re.compile(r"(?P<stays><!-- stays -->\n)?^```console\n(?P<body>.*?)^```$", re.M | re.S)
_STATUS = re.compile(r"#\s*status (\d+)")
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_KEPT = ("HOME", "PATH", "LANG", "JAVA_HOME", "SSL_CERT_FILE")
_KEPT_PREFIXES = ("PIP_", "UV_", "MAVEN_", "HTTP", "http", "no_proxy", "NO_PROXY")


class TutorialWrong(Exception):
    """The page promises what isn't so."""


@dataclass
class Step:
    """A command and what the page says of it."""

    line: int
    command: str
    stays: bool = False
    promises: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        found = _STATUS.search(self.command)
        return int(found[1]) if found else 0


def read_steps(text: str) -> Iterator[Step]:
    """The commands of a page, in their order."""
    for block in _BLOCK.finditer(text):
        step: Step | None = None
        first = text.count("\n", 0, block.start("body")) + 1
        for number, line in enumerate(block["body"].splitlines(), start=first):
            if line.startswith("$ "):
                if step:
                    yield step
                step = Step(number, line[2:], stays=bool(block["stays"]))
            elif step is None:
                raise TutorialWrong(f"line {number} stands before any command")
            elif line.startswith("> "):
                step.command += f"\n{line[2:]}"
            elif line.strip() not in ("", "…"):
                step.promises.append(line)
        if step:
            yield step


def broken(promises: Sequence[str], printed: str) -> str | None:
    """The first promised line that isn't printed after those before it; none if all are."""
    lines = iter(_TERMINAL.sub("", printed).splitlines())
    for promise in promises:
        parts = [r"\s+".join(map(re.escape, part.split())) for part in promise.split("…")]
        wanted = re.compile(r".*".join(parts))
        if not any(wanted.search(line) for line in lines):
            return promise
    return None


class Shell:
    """A bash that keeps its folder and variables from one command to the next."""

    def __init__(self, folder: Path) -> None:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in _KEPT or name.startswith(_KEPT_PREFIXES)
        }
        self._folder = folder
        self._log = folder.parent / "printed"
        self._staying: list[Path] = []
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**kept, "COLUMNS": "160", "TERM": "dumb"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """Its status and what it printed."""
        self._send(f"{{ {command}\n}} </dev/null >{self._log} 2>&1; echo $?")
        assert self._bash.stdout
        status = self._bash.stdout.readline()
        return int(status or -1), self._log.read_text(errors="replace")

    def begin(self, command: str, promises: Sequence[str]) -> None:
        """Start what stays, and wait until it has printed what is promised.

        Raises:
            TutorialWrong: it ended before, or hasn't printed it within `LIMIT`.
        """
        log = self._folder.parent / f"staying-{len(self._staying)}"
        pid = log.with_suffix(".pid")
        self._send(f"set -m; {{ {command}\n}} </dev/null >{log} 2>&1 & echo $! >{pid}; set +m")
        self._staying.append(pid)
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            printed = log.read_text(errors="replace") if log.exists() else ""
            if broken(promises, printed) is None:
                return
            if not _runs(pid):
                raise TutorialWrong(f"{command!r} has ended:\n{printed}")
            time.sleep(0.5)
        raise TutorialWrong(f"{command!r} hasn't printed {broken(promises, printed)!r}:\n{printed}")

    def end(self) -> None:
        """Ctrl-C to what stays, the last first, and the end of the shell."""
        for file in reversed(self._staying):
            group = int(file.read_text())
            for sent in (signal.SIGINT, signal.SIGKILL):
                try:
                    os.killpg(group, sent)
                    until = time.monotonic() + 120
                    while time.monotonic() < until:
                        os.killpg(group, 0)
                        time.sleep(0.2)
                except (ProcessLookupError, PermissionError):
                    break
        if self._bash.stdin:
            self._bash.stdin.close()
        self._bash.wait(timeout=60)
        if self._bash.stdout:
            self._bash.stdout.close()

    def _send(self, line: str) -> None:
        assert self._bash.stdin
        self._bash.stdin.write(f"{line}\n")
        self._bash.stdin.flush()


def _runs(pid: Path) -> bool:
    """Whether a process goes on whose number is in this file, or will be."""
    number = pid.read_text().strip() if pid.exists() else ""
    try:
        os.kill(int(number or os.getpid()), 0)
    except ProcessLookupError:
        return False
    return True


def walk(text: str, folder: Path, *, tell: bool = True) -> list[dict[str, Any]]:
    """Run a page's commands in a folder; each with its seconds.

    Raises:
        TutorialWrong: a command ended otherwise than promised, or printed something else.
    """
    shell, walked = Shell(folder), []
    try:
        for step in read_steps(text):
            began = time.monotonic()
            if step.stays:
                shell.begin(step.command, step.promises)
            else:
                status, printed = shell.run(step.command)
                promise = broken(step.promises, printed)
                if status != step.status or promise is not None:
                    why = f"didn't print {promise!r}" if promise else f"ended with {status}"
                    raise TutorialWrong(f"line {step.line}: {step.command!r} {why}:\n{printed}")
            seconds = round(time.monotonic() - began, 1)
            walked.append({"line": step.line, "command": step.command, "seconds": seconds})
            if tell:
                sys.stderr.write(f"{seconds:7.1f} s  {step.command.splitlines()[0]}\n")
    finally:
        shell.end()
    return walked


def main() -> None:
    parser = argparse.ArgumentParser(description="Walk the tutorial on a fresh clone.")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with TemporaryDirectory() as home:
        began = time.monotonic()
        clone = Path(home) / "trending-now"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        try:
            walked = walk(TUTORIAL.read_text(), clone, tell=not options.json)
        except TutorialWrong as error:
            sys.stderr.write(f"error: {error}\n")
            raise SystemExit(1) from error
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        seconds = round(time.monotonic() - began, 1)
    told = {"seconds": seconds, "commands": walked}
    sys.stdout.write(f"{json.dumps(told)}\n" if options.json else f"{seconds:7.1f} s  in all\n")


if __name__ == "__main__":
    main()
