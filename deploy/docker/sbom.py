"""Adds Debian's packages to the bill of materials that `cyclonedx-py` makes of an environment.

Runs while an image is built, with the tools of its build stage: CycloneDX JSON comes in and goes
out, and goes nowhere if it doesn't keep to CycloneDX's schema.
"""

import json
import sys
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL


def debian_components(status: str) -> list[dict[str, Any]]:
    """The installed packages of a dpkg status file, as components."""
    components = []
    for paragraph in status.strip().split("\n\n"):
        package = HeaderParser().parsestr(paragraph)
        if package["Status"] != "install ok installed":
            continue
        purl = PackageURL(
            "deb",
            "debian",
            package["Package"],
            package["Version"],
            {"arch": package["Architecture"]},
        ).to_string()
        components.append(
            {
                "type": "library",
                "bom-ref": purl,
                "name": package["Package"],
                "version": package["Version"],
                "purl": purl,
            }
        )
    return components


def main(environment: Path, status: Path, result: Path) -> None:
    bom = json.loads(environment.read_text())
    bom["components"] += debian_components(status.read_text())
    text = json.dumps(bom, indent=1)
    version = SchemaVersion.from_version(bom["specVersion"])
    if problem := JsonStrictValidator(version).validate_str(text):
        raise SystemExit(f"this isn't CycloneDX {bom['specVersion']}: {problem}")
    result.write_text(text + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
