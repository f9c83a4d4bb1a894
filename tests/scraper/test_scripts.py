"""Scripts are found where a browser would find them, whatever a page is made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trending_scraper.scripts import scripts

LD = "application/ld+json"
MINE = f'<script type="{LD}">mine</script>'


def found(text: str) -> list[str]:
    return list(scripts(text, LD))


@pytest.mark.parametrize(
    "tag",
    [
        f'<script type="{LD}">',
        f"<script type='{LD}'>",
        f"<script type={LD}>",
        f"<SCRIPT TYPE={LD.upper()}>",
        f"<script\n\tid=data\n\ttype = \n' {LD} '\f>",
        f'<script/type="{LD}"/>',
        f'<script class="a"b=c type="{LD}"async>',
        f'<script data-x=">" type="{LD}">',
        f"""<script data-x='"' type="{LD}">""",
        f'<script type="{LD}" type="text/plain">',
        '<script type="application/ld&#43;json">',
        f'<script = type="{LD}">',
        f'<script ="x type={LD}>',
    ],
)
def test_a_tag_may_be_written_in_many_ways(tag: str) -> None:
    assert found(f"<p>{tag}mine</script >") == ["mine"]


@pytest.mark.parametrize(
    "tag",
    [
        "<script>",
        '<script type="text/javascript">',
        f'<script type="text/plain" type="{LD}">',
        f'<script data-type="{LD}">',
        f"<scripts type={LD}>",
        f"<\u017fcript type={LD}>",  # a long s is no s
        f"< script type={LD}>",
        f"<x:script type={LD}>",
    ],
)
def test_other_tags_are_none(tag: str) -> None:
    assert found(f"{tag}mine</script>") == []


@pytest.mark.parametrize(
    "around",
    [
        "<!--{}-->",
        "<!-- -- > {} --!>",
        "<!--->{}",
        "<a title='{}'>",
        "<a title={}>",
        "<style>{}</style>",
        "<title>{}</title>",
        "<TEXTAREA>{}</TEXTAREA>",
        "<iframe>{}</iframe>",
        "<xmp><!--</xmp {}>-->",
        "<noembed>{}",
        "<plaintext></plaintext>{}",
        "<script><!--<script>{}",
        "<a b='{}",
    ],
)
def test_what_only_looks_like_a_script_is_none(around: str) -> None:
    mine = MINE.replace('"', "") if "title=" in around else MINE
    expected = ["mine"] if around == "<!--->{}" else []
    assert found(around.format(mine)) == expected


@pytest.mark.parametrize(
    "before",
    [
        "<!doctype html>",
        "<?xml version='1.0'?>",
        "<![CDATA[ > ]]>",
        "<!-->",
        "<!-- <script> -->",
        "<!-- -> -- --->",
        "</>",
        "</ x='>",
        "a < b <1> <",
        "<p class=it's>",
        '<p x"y>',
        '<p a=x"y>',
        '<p a==">',
        '<p ="x>',
        "<p a=>",
        '<p a="<script>">',
        "<p a='\"'>",
        '<a title="1 > 0">',
        "<style><script></style>",
        "<script>if (a < b) document.write('</scripture>')</script>",
        "<script><!-- <script> </script> --></script>",
        "<script><!-- x </script>",
        "<script><!--></script>",
        "</script></title>",
        "<title></title/>",
    ],
)
def test_what_comes_before_doesnt_hide_a_script(before: str) -> None:
    assert found(f"{before}{MINE}") == ["mine"]


def test_scripts_come_in_order_and_whole() -> None:
    page = f'{MINE}<script type={LD}>{{"a": "<p title=\'>\' </scr"}}</script\n>{MINE}'
    assert found(page) == ["mine", '{"a": "<p title=\'>\' </scr"}', "mine"]


def test_a_script_without_an_end_is_left_out() -> None:
    assert found(f"{MINE}<script type={LD}>mine</script") == ["mine"]


PIECES = [
    *("<", ">", "</", "<!--", "-->", "--!>", '"', "'", "=", " ", "/", "-", "a", "é", "\0", "<!"),
    *(
        "<?",
        "<script",
        "</script>",
        f"<script type={LD}>",
        "<style>",
        "</style",
        "<a b='",
        "<title>",
    ),
]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_no_page_raises(text: str) -> None:
    assert all(isinstance(script, str) for script in scripts(text, LD))


@pytest.mark.timeout(60)  # were anything tried twice, it would be hours
@pytest.mark.parametrize("piece", [*PIECES, "<a b=c ", '<p x="y" z=\' ', "<script><!--<script>"])
def test_a_page_is_gone_over_once(piece: str) -> None:
    assert found(MINE + piece * (2**18 // len(piece)))[0] == "mine"
