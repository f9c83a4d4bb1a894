"""Stands for terraform, aws, skopeo and trending: `programs.py FOLDER NAME ARGUMENT…`.

What Terraform is told runs, unless the folder's `world.json` says that it doesn't start; each call
is a line of the file `calls`.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/trending-staging"


def answer(folder: Path, name: str, words: list[str]) -> str:
    file = folder / "world.json"
    world: dict[str, Any] = json.loads(file.read_text())
    said = {"terraform": terraform, "skopeo": skopeo, "aws": aws, "trending": trending}[name](
        world, words
    )
    file.write_text(json.dumps(world))
    return said


def terraform(world: dict[str, Any], words: list[str]) -> str:
    env = Path(words[0].removeprefix("-chdir="))
    if words[1] == "apply":
        if world["refuses"]:
            raise SystemExit("Error: AccessDenied")
        told = json.loads((env / "images.auto.tfvars.json").read_text())["images"]
        starts = {each: told[each] for each in told if told[each] not in world["does_not_start"]}
        world["told"], world["runs"] = told, world["runs"] | starts
    if words[1] != "output" or not world["repositories"]:
        return "{}"
    told = world["told"]
    house = {
        "containers": {each: {"image": f"{REGISTRY}/{each}@{told[each]}"} for each in told},
        "gateway_url": "https://lb.example",
        "repositories": {each: f"{REGISTRY}/{each}" for each in world["repositories"]},
    }
    return json.dumps({"house": {"value": house}})


def skopeo(world: dict[str, Any], words: list[str]) -> str:
    """An image's digest is what its file holds."""
    if words[0] == "login":
        assert sys.stdin.read() == "password"
        return ""
    archive = words[-1] if words[0] == "inspect" else words[-2]
    digest = Path(archive.removeprefix("oci-archive:")).read_text()
    if words[0] == "copy":
        world["pushed"].append(digest)
    return digest


def aws(world: dict[str, Any], words: list[str]) -> str:
    options = dict(pairwise(words))
    match words[1]:
        case "get-login-password":
            return "password"
        case "list-images":
            return json.dumps({"imageIds": [{"imageDigest": each} for each in world["pushed"]]})
        case "describe-image-scan-findings":
            digest = options["--image-id"].removeprefix("imageDigest=")
            found = [{"name": "CVE-1", "severity": "CRITICAL"}] * (digest in world["unsafe"])
            status = {"status": "COMPLETE"}
            findings = {"findings": found}
            return json.dumps({"imageScanStatus": status, "imageScanFindings": findings})
        case "list-services":
            arns = [f"arn:x:service/trending-staging/{each}" for each in world["told"]]
            return json.dumps({"serviceArns": arns})
        case "describe-services":
            return f"task/{options['--services']}"
        case "describe-task-definition":
            service = options["--task-definition"].removeprefix("task/")
            return f"{REGISTRY}/{service}@{world['runs'][service]}"
    return ""


def trending(world: dict[str, Any], words: list[str]) -> str:
    if world["runs"]["inference"] in world["does_not_work"]:
        raise SystemExit("error: the gateway doesn't work")
    return "it works"


if __name__ == "__main__":
    folder, name, words = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps([name, *words]) + "\n")
    sys.stdout.write(answer(folder, name, words) + "\n")
