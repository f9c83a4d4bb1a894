"""CloudWatch's filter patterns for JSON lines, as far as ours use them.

    { $.event = "request_answered" && $.status >= 500 }
    { $.event = "day_reported" && $.drifted[0] = "*" }

Comparisons with text (`*` stands for anything), with numbers, `IS NULL`, `NOT EXISTS`, `&&` before
`||`, parentheses. As CloudWatch has it, nothing matches a field that isn't there, a number is only
compared with numbers, and `*` matches no list and no object.
"""

import fnmatch
import json
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

Test = Callable[[dict[str, Any]], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<field>\$(?:\.\w+|\[\d+\])+)|(?P<text>"[^"]*")|(?P<number>-?\d+(?:\.\d+)?)"""
    r"""|(?P<word>&&|\|\||[(){}]|!=|>=|<=|[=<>]|NOT\ EXISTS|IS\ NULL))"""
)
_ORDER = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_GONE = object()


class PatternInvalid(ValueError):
    """This isn't a pattern, or one that we don't know."""


def matches(pattern: str, line: str) -> bool:
    """Whether CloudWatch counts a line.

    Raises:
        PatternInvalid: we can't tell.
    """
    test = compile_pattern(pattern)
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, dict) and test(found)


def compile_pattern(pattern: str) -> Test:
    """The test that a pattern is.

    Raises:
        PatternInvalid: we can't tell.
    """
    tokens = list(_tokens(pattern))
    if tokens[:1] != [("word", "{")] or tokens[-1:] != [("word", "}")]:
        raise PatternInvalid(f"{pattern}: not in braces")
    rest = tokens[1:-1]
    test = _either(rest)
    if rest:
        raise PatternInvalid(f"{pattern}: what is {rest[0][1]}?")
    return test


def fields(pattern: str) -> set[str]:
    """The top-level fields that a pattern looks at."""
    return {re.findall(r"\w+", text)[0] for kind, text in _tokens(pattern) if kind == "field"}


def value_of(selector: str, line: str) -> float:
    """What a metric's value is for a line: a number, or what `$.field` selects."""
    if not selector.startswith("$"):
        return float(selector)
    return float(_select(selector, json.loads(line)))


def _tokens(pattern: str) -> Iterator[tuple[str, str]]:
    at = 0
    text = pattern.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found or not found.lastgroup:
            raise PatternInvalid(f"{pattern}: what is {text[at:]}?")
        at = found.end()
        yield found.lastgroup, found[found.lastgroup]


def _either(tokens: list[tuple[str, str]]) -> Test:
    tests = [_all(tokens)]
    while tokens[:1] == [("word", "||")]:
        tokens.pop(0)
        tests.append(_all(tokens))
    return lambda line: any(test(line) for test in tests)


def _all(tokens: list[tuple[str, str]]) -> Test:
    tests = [_one(tokens)]
    while tokens[:1] == [("word", "&&")]:
        tokens.pop(0)
        tests.append(_one(tokens))
    return lambda line: all(test(line) for test in tests)


def _one(tokens: list[tuple[str, str]]) -> Test:
    if tokens[:1] == [("word", "(")]:
        tokens.pop(0)
        test = _either(tokens)
        if tokens[:1] != [("word", ")")]:
            raise PatternInvalid("a parenthesis isn't closed")
        tokens.pop(0)
        return test
    if len(tokens) < 2 or tokens[0][0] != "field" or tokens[1][0] != "word":
        raise PatternInvalid("a comparison begins with a field")
    (_, field), (_, how) = tokens.pop(0), tokens.pop(0)
    if how == "NOT EXISTS":
        return lambda line: _select(field, line) is _GONE
    if how == "IS NULL":
        return lambda line: _select(field, line) is None
    if not tokens or tokens[0][0] not in ("text", "number"):
        raise PatternInvalid(f"{field} {how} what?")
    kind, value = tokens.pop(0)
    if kind == "number":
        return _numeric(field, how, float(value))
    if how not in ("=", "!="):
        raise PatternInvalid(f"text has no order: {field} {how} {value}")
    return _textual(field, value[1:-1], wanted=how == "=")


def _numeric(field: str, how: str, value: float) -> Test:
    compare = {"=": operator.eq, "!=": operator.ne, **_ORDER}[how]

    def test(line: dict[str, Any]) -> bool:
        found = _select(field, line)
        return type(found) in (int, float) and bool(compare(found, value))

    return test


def _textual(field: str, value: str, *, wanted: bool) -> Test:
    glob = re.compile(fnmatch.translate(re.sub(r"([\[?])", r"[\1]", value)))

    def test(line: dict[str, Any]) -> bool:
        found = _select(field, line)
        if found is _GONE or found is None or isinstance(found, dict | list):
            return False
        return bool(glob.match(found if isinstance(found, str) else json.dumps(found))) is wanted

    return test


def _select(selector: str, line: Any) -> Any:
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", selector):
        if name and isinstance(line, dict) and name in line:
            line = line[name]
        elif index and isinstance(line, list) and int(index) < len(line):
            line = line[int(index)]
        else:
            return _GONE
    return line
