"""Brings onto the site what lies beside its code: READMEs, the changelog, how to contribute.

Links in all files are relative to where the file lies in the repository, so that they work there as
well; here they are turned into links between pages. What is linked to and isn't on the site, such
as a source file, is named instead.
"""

import posixpath
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s:]+)\)")
FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.M | re.S)


def brought() -> dict[str, str]:
    """Files outside of `docs/` by their place on the site."""
    found = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
    found |= {"demo.md": "demo/README.md"}
    for folder in ("services", "deploy"):
        for file in sorted((ROOT / folder).glob("*/README.md")):
            found[f"{folder}/{file.parent.name}.md"] = file.relative_to(ROOT).as_posix()
    return found


def places(files: Files) -> dict[str, str]:
    """Each file's place on the site by its path in the repository."""
    outside = brought()
    return {
        outside.get(file.src_uri, f"docs/{file.src_uri}"): file.src_uri
        for file in files
        if file.inclusion != InclusionLevel.EXCLUDED
    }


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    for place, path in brought().items():
        files.append(File.generated(config, place, content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    known = places(files)
    here = page.file.src_uri
    origin = PurePosixPath(brought().get(here, f"docs/{here}")).parent.as_posix()

    def leads(link: re.Match[str]) -> str:
        target, mark, anchor = link["target"].partition("#")
        if not target:
            return link[0]
        path = posixpath.normpath(posixpath.join(origin, target))
        place = next(
            (
                known[each]
                for each in (path, f"{path}/README.md", f"{path}/index.md")
                if each in known
            ),
            None,
        )
        if place is None:
            return f"{link['text']} (`{path}`)" if (ROOT / path).exists() else link[0]
        way = posixpath.relpath(place, PurePosixPath(here).parent.as_posix())
        return f"{link['image']}[{link['text']}]({way}{mark}{anchor})"

    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [LINK.sub(leads, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, LINK.sub(leads, markdown[end:])])


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """The theme's search is a dialog without a name."""
    return output.replace('role="dialog"', 'role="dialog" aria-label="Search"', 1)
