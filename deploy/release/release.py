"""How a change gets to an environment, and back; what the workflows call. Plain Python.

    release.py changed BASE              the services whose images a change touches, as JSON
    release.py code-version              what images that are built here say of themselves
    release.py requirements < SBOM       the Python packages of a CycloneDX document, pinned
    release.py deploy ENVIRONMENT IMAGES push what lies in the folder IMAGES and have it run
    release.py rollback ENVIRONMENT      have run what ran before `deploy`, if that changed anything

The last two call terraform, aws, skopeo and trending. They are told by variables where the state
lies (STATE_BUCKET, AWS_REGION), what else Terraform is to know of the account (TF_VARS, JSON), and
how the gateway is called (GATEWAY_URL; if it is empty, as Terraform says).

What runs is said by digest alone, in `images.auto.tfvars.json`; what ran before lies beside it, in
`before.tfvars.json`, from the moment on that something may change.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ENVIRONMENT_FOLDERS = ROOT / "deploy" / "terraform" / "envs"
SERVICES = ("scraper", "cleaner", "featurizer", "trainer", "inference", "monitor")
ENVIRONMENTS = ("staging", "prod")
EVERYWHERE = (
    "shared/",
    "constraints.txt",
    "overrides.txt",
    ".dockerignore",
    "docker-compose.yml",
    "deploy/docker/",
)
"""What goes into every image."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ReleaseImpossible(Exception):
    """What is to be released can't be, as it stands."""


def changed_services(files: Iterable[str]) -> list[str]:
    """The services whose images these files go into."""
    touched = set()
    for file in files:
        if file.startswith(EVERYWHERE):
            return list(SERVICES)
        touched.add(file.removeprefix("services/").split("/")[0])
    return [service for service in SERVICES if service in touched]


def changed_since(base: str) -> list[str]:
    """The services whose images differ from those of a commit; all, if we have none such."""
    try:
        files = _run("git", "-C", ROOT, "diff", "--name-only", "--no-renames", f"{base}...HEAD")
    except ReleaseImpossible:
        return list(SERVICES)
    return changed_services(files.splitlines())


def code_version(described: str) -> str:
    """The package's version with the commit, as `trending up` tells it.

    Args:
        described: what `git describe --always` says.
    """
    manifest = tomllib.loads((ROOT / "shared" / "pyproject.toml").read_text())
    return f"{manifest['project']['version']}+{described}"


def python_requirements(sbom: Mapping[str, Any]) -> list[str]:
    """The third-party Python packages of a CycloneDX document as `name==version`, sorted.

    Raises:
        ReleaseImpossible: there are none, so this isn't an image's bill of materials.
    """
    pins = {
        f"{component['name']}=={component['version']}"
        for component in sbom.get("components", ())
        if component.get("purl", "").startswith("pkg:pypi/")
        and not component["name"].startswith("trending")
    }
    if not pins:
        raise ReleaseImpossible("the bill of materials names no Python package")
    return sorted(pins)


def digests_in_force(outputs: Mapping[str, Any]) -> dict[str, str]:
    """By service, the digest of the image that its container is told to run.

    Args:
        outputs: Terraform's output `house`; without containers nothing has been released yet.

    Raises:
        ReleaseImpossible: an image isn't named by a digest.
    """
    found = {}
    for service, container in sorted(outputs.get("containers", {}).items()):
        _, _, digest = container["image"].partition("@")
        if not _DIGEST.fullmatch(digest):
            raise ReleaseImpossible(f"{service} runs {container['image']}, which names no digest")
        found[service] = digest
    return found


def digests_after(before: Mapping[str, str], built: Mapping[str, str]) -> dict[str, str]:
    """What is to run: what was built, and of other services what runs.

    Raises:
        ReleaseImpossible: something isn't a service, or isn't a digest.
    """
    for service, digest in built.items():
        if service not in SERVICES:
            raise ReleaseImpossible(f"there is no service {service}, but {', '.join(SERVICES)}")
        if not _DIGEST.fullmatch(digest):
            raise ReleaseImpossible(f"{service}: {digest!r} is no digest")
    return dict(sorted({**before, **built}.items()))


def critical_findings(scan: Mapping[str, Any]) -> list[str]:
    """The critical findings of an image's scan by ECR, by name.

    Raises:
        ReleaseImpossible: the scan wasn't completed, so nothing is known.
    """
    status = scan.get("imageScanStatus", {}).get("status")
    if status not in ("COMPLETE", "ACTIVE"):
        raise ReleaseImpossible(f"the image wasn't scanned: {status}")
    found = scan.get("imageScanFindings", {})
    each = [*found.get("findings", ()), *found.get("enhancedFindings", ())]
    names = [one.get("name") or one.get("title", "") for one in each if _is_critical(one)]
    told = found.get("findingSeverityCounts", {}).get("CRITICAL", 0)
    return sorted(names) or ["not named"] * told


def _is_critical(finding: Mapping[str, Any]) -> bool:
    return finding.get("severity") == "CRITICAL"


# ---------------------------------------------------------------- an environment


class Environment:
    """Staging or prod, as Terraform keeps it."""

    def __init__(
        self, name: str, environ: Mapping[str, str], *, folders: Path = ENVIRONMENT_FOLDERS
    ) -> None:
        self.name = name
        self.folder = folders / name
        self.before = self.folder / "before.tfvars.json"
        self._environ = environ

    def deploy(self, folder: Path) -> None:
        """Push the images of a folder, one in a folder of each service, and have them run.

        Raises:
            ReleaseImpossible: something failed; `rollback` knows whether anything was changed.
        """
        built = {each.name: each / "image.tar" for each in sorted(folder.iterdir())}
        house = self._begin()
        if not house:
            raise ReleaseImpossible(
                f"{self.name} isn't there: it is made by a person, see docs/how-to/aws.md"
            )
        before = digests_in_force(house)
        version = code_version(_run("git", "-C", ROOT, "describe", "--always", "--exclude=*"))
        digests = {
            service: self._push(file, house["repositories"][service], version)
            for service, file in built.items()
        }
        after = digests_after(before, digests)
        self.before.write_text(json.dumps({"images": before}))
        self._put_in_force(after, gateway_runs=version if "inference" in built else None)

    def rollback(self) -> None:
        """Have run what ran before, if anything did.

        Raises:
            ReleaseImpossible: something failed, and a person has to look.
        """
        if not self.before.exists():
            _tell("nothing was changed, so there is nothing to take back")
            return
        before = json.loads(self.before.read_text())["images"]
        if not before:
            _tell("nothing ran before; what was begun stays for a person to look at")
            return
        self._begin()
        self._put_in_force(before, gateway_runs=None)
        _tell(f"{self.name} runs what it ran before")

    def _begin(self) -> Any:
        """Get Terraform ready; what it knows of the house, or none if that isn't there."""
        account = self._environ.get("TF_VARS") or "{}"
        (self.folder / "account.auto.tfvars.json").write_text(account)
        self._terraform(
            "init",
            f"-backend-config=bucket={self._environ['STATE_BUCKET']}",
            f"-backend-config=region={self._environ['AWS_REGION']}",
        )
        return self._house()

    def _house(self) -> Any:
        return json.loads(self._terraform("output", "-json")).get("house", {}).get("value")

    def _terraform(self, command: str, *options: str) -> str:
        asks = () if command == "output" else ("-input=false",)
        return _run("terraform", f"-chdir={self.folder}", command, *asks, "-no-color", *options)

    def _push(self, file: Path, repository: str, version: str) -> str:
        """Put an image where the environment takes it from, unless it is there; its digest."""
        archive = f"oci-archive:{file}"
        digest = _run("skopeo", "inspect", "--format", "{{.Digest}}", archive)
        registry, _, name = repository.partition("/")
        tag = f"{version.replace('+', '-')}-{digest[7:19]}"  # a tag means one image for ever
        image = ("--repository-name", name, "--image-id", f"imageDigest={digest}")
        known = _run("aws", "ecr", "list-images", "--repository-name", name, "--output", "json")
        if digest not in {each["imageDigest"] for each in json.loads(known)["imageIds"]}:
            password = _run("aws", "ecr", "get-login-password")
            _run(
                *("skopeo", "login", "--username", "AWS", "--password-stdin", registry),
                stdin=password,
            )
            target = f"docker://{repository}:{tag}"
            _run("skopeo", "copy", "--preserve-digests", archive, target)
        _run("aws", "ecr", "wait", "image-scan-complete", *image)
        scan = _run("aws", "ecr", "describe-image-scan-findings", *image, "--output", "json")
        if critical := critical_findings(json.loads(scan)):
            raise ReleaseImpossible(f"{name} has critical findings: {', '.join(critical)}")
        _tell(f"{repository}@{digest} is there, and its scan found nothing critical")
        return digest

    def _put_in_force(self, images: Mapping[str, str], *, gateway_runs: str | None) -> None:
        """Have these images run, wait until they do, and ask the gateway whether it works."""
        wanted = self.folder / "images.auto.tfvars.json"
        wanted.write_text(json.dumps({"images": images}, indent=2))
        self._terraform("apply", "-auto-approve")
        cluster = ("--cluster", f"trending-{self.name}")
        listed = _run("aws", "ecs", "list-services", *cluster, "--output", "json")
        running = {arn.rsplit("/", 1)[-1] for arn in json.loads(listed)["serviceArns"]}
        services = sorted(running & images.keys())  # the gateway may run on App Runner
        if services:
            _run("aws", "ecs", "wait", "services-stable", *cluster, "--services", *services)
        for service in services:
            self._check_image(cluster, service, images[service])
        # The load balancer has another name than the one that its certificate is for.
        if url := self._environ.get("GATEWAY_URL") or self._house()["gateway_url"]:
            version = ("--code-version", gateway_runs) if gateway_runs else ()
            _tell(_run("trending", "smoke", url, "--within", "300", "--json", *version))

    def _check_image(self, cluster: tuple[str, str], service: str, digest: str) -> None:
        """ECS takes a release back by itself if its tasks don't start; that is steady, too."""
        query = ("--query", "services[0].taskDefinition", "--output", "text")
        task = _run("aws", "ecs", "describe-services", *cluster, "--services", service, *query)
        query = ("--query", "taskDefinition.containerDefinitions[].image", "--output", "text")
        image = _run("aws", "ecs", "describe-task-definition", "--task-definition", task, *query)
        if not image.endswith(f"@{digest}"):
            raise ReleaseImpossible(f"{service} runs {image} instead of {digest}: see its log")


def _run(*command: object, stdin: str | None = None) -> str:
    """What a program says on its standard output; what it says besides is shown as it comes."""
    words = [str(each) for each in command]
    _tell(f"$ {' '.join(words)}")
    try:
        done = subprocess.run(words, input=stdin, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise ReleaseImpossible(f"{words[0]} can't be run: {error}") from error
    if done.returncode:
        _tell(done.stdout)
        raise ReleaseImpossible(f"{' '.join(words)} ended with {done.returncode}")
    return done.stdout.strip()


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


# ---------------------------------------------------------------- the commands


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("changed").add_argument("base")
    commands.add_parser("code-version")
    commands.add_parser("requirements")
    deploy = commands.add_parser("deploy")
    deploy.add_argument("environment", choices=ENVIRONMENTS)
    deploy.add_argument("images", type=Path)
    commands.add_parser("rollback").add_argument("environment", choices=ENVIRONMENTS)
    options = parser.parse_args(arguments)
    try:
        if told := _answer(options):
            sys.stdout.write(f"{told}\n")
    except ReleaseImpossible as error:
        _tell(f"error: {error}")
        return 1
    return 0


def _answer(options: argparse.Namespace) -> str | None:
    match options.command:
        case "changed":
            return json.dumps(changed_since(options.base))
        case "code-version":
            return code_version(_run("git", "-C", ROOT, "describe", "--always", "--exclude=*"))
        case "requirements":
            return "\n".join(python_requirements(json.load(sys.stdin)))
        case "deploy":
            Environment(options.environment, os.environ).deploy(options.images)
        case _:
            Environment(options.environment, os.environ).rollback()
    return None


if __name__ == "__main__":
    sys.exit(main())
