"""The scripts of a page, found without building a tree of it.

A tree takes two to five times as long, and a tree as browsers build it takes hours for some pages
of a megabyte. This goes over the page once, as the tokenizer of the HTML standard does (section
13.2.5): what looks like a script within a comment, an attribute, a style or another script is none.
All repetitions are possessive, so whatever a page is made of, it takes no more than its length.
"""

import re
from collections.abc import Iterator
from html import unescape

FLAGS = re.VERBOSE | re.IGNORECASE | re.ASCII  # names are equal in ASCII's upper and lower case

NAME_ENDS = frozenset("\t\n\f\r />")
END = r"(?=[\t\n\f\r />])"
SPACES = r"[\t\n\f\r ]*+"
NAME = r"[^\t\n\f\r />][^\t\n\f\r />=]*+"  # an equals sign may begin it
UNQUOTED = r"""[^\t\n\f\r >"'][^\t\n\f\r >]*+"""
ATTRIBUTES = rf"""(?:
    [\t\n\f\r /]++
  | {NAME} (?: {SPACES} = {SPACES} (?: "[^"]*+" | '[^']*+' | {UNQUOTED} | (?=>) ) | (?!{SPACES}=) )
)*+ >"""
# How nearly all are written; whatever this takes for a value is one.
PLAIN_ATTRIBUTES = r"""(?: [^<>"'=]*+ (?<=[^\t\n\f\r /<>"'=]) ="[^"]*+" )*+ [^<>"'=]*+ >"""
# Elements whose content is text, whatever it looks like.
RAW = (
    rf"(?: iframe | noembed | noframes | plaintext | script | style | textarea | title | xmp ){END}"
)
# All that comes before the next such element; the whole rest if it can't be understood.
OTHER = re.compile(
    rf"""(?:
        [^<]++
      | </?+ (?: [a-hj-moq-ruvwyz] | (?!{RAW}) [a-z] )  # most begin as none of them does
        [^\t\n\f\r />]*+ (?: > | {PLAIN_ATTRIBUTES} | {ATTRIBUTES} )
      | </ [a-z]++ {ATTRIBUTES}
      | <!-- (?: -?> | [^-]*+ (?: -(?!->|-!>) [^-]*+ )*+ --!?> )
      | <!(?!--) [^>]*+ >
      | <\? [^>]*+ >
      | </ (?![a-z]) [^>]*+ >
      | < (?![a-z/!?])
    )*+""",
    FLAGS,
)
RAW_ELEMENT = re.compile(rf"< ({RAW}) ({ATTRIBUTES})", FLAGS)
ATTRIBUTE = re.compile(
    rf"""({NAME}) (?: {SPACES} = {SPACES} (?: "([^"]*+)" | '([^']*+)' | ({UNQUOTED}) ) )?+""",
    FLAGS,
)
MARK = re.compile(rf"<!--|-->|<(/?)script{END}", FLAGS)


def scripts(text: str, media_type: str) -> Iterator[str]:
    """What stands in the scripts of a type; one that has no end is left out."""
    at = 0
    while opening := RAW_ELEMENT.match(text, _after_others(text, at)):
        name, start = opening[1].lower(), opening.end()
        if name == "plaintext":
            return
        at = _script_end(text, start) if name == "script" else _end_tag(text, name, start)
        if at < 0:
            return
        if name == "script" and _type(opening[2]) == media_type:
            yield text[start:at]


def _after_others(text: str, at: int) -> int:
    match = OTHER.match(text, at)
    return match.end() if match else at


def _script_end(text: str, start: int) -> int:
    """Where a script's end tag is, -1 if there is none.

    In a comment a script may hold another one, end tag and all.
    """
    end = _end_tag(text, "script", start)
    if text.find("<!--", start, end) < 0:
        return end
    in_comment = in_script = False
    at = start
    while mark := MARK.search(text, at):
        at = mark.end()
        if mark[0] == "<!--":
            in_comment = True
            at -= 2  # its dashes may be those that end it
        elif mark[0] == "-->":
            in_comment = in_script = False
        elif not mark[1]:
            in_script = in_comment
        elif in_script:
            in_script = False
        else:
            return mark.start()
    return -1


def _end_tag(text: str, name: str, start: int) -> int:
    """Where an element's end tag is, -1 if there is none."""
    at = text.find("</", start)
    while at >= 0:
        after = at + 2 + len(name)
        if text[at + 2 : after].lower() == name and text[after : after + 1] in NAME_ENDS:
            return at
        at = text.find("</", at + 2)
    return -1


def _type(attributes: str) -> str:
    """The first type that a tag names, as types are compared."""
    for name, *values in ATTRIBUTE.findall(attributes[:-1]):
        if name.lower() == "type":
            return unescape("".join(values)).strip().lower()
    return ""
