"""For tests: a W&B server in memory, with as much of its protocol as its client asks for here.

`wandb` and its `wandb-core` speak to it as they do to the real one: GraphQL for what is known, PUT
for files, one stream of lines a run. What it holds lies open to tests.

    with WandbServer() as server:
        server.settings           # WANDB_BASE_URL and WANDB_API_KEY, for an environment
        server.runs["r1"].config
        server.collection("wandb-registry-model", "genres").aliases["champion"]
"""

import base64
import contextlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

KEY = "0123456789abcdef" * 2 + "01234567"  # as long as a real one
ENTITY = "cinema"  # the team of the key's owner
ORGANISATION = "cinema-org"  # whose registries are the team's
NOW = "2026-11-01T12:00:00Z"

Json = dict[str, Any]


@dataclass
class Run:
    """A run, as its client told it."""

    name: str
    project: str
    group: str | None = None
    config: Json = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    """The streams of lines, by file."""
    files: dict[str, bytes] = field(default_factory=dict)
    complete: bool = False

    @property
    def history(self) -> list[Json]:
        return [json.loads(line) for line in self.lines.get("wandb-history.jsonl", ())]

    @property
    def summary(self) -> Json:
        lines = self.lines.get("wandb-summary.json")
        found: Json = json.loads(lines[-1]) if lines else {}
        return found

    def table(self, name: str) -> list[Json]:
        """The rows of a table that was logged."""
        found = json.loads(self.files[self.summary[name]["path"]])
        return [dict(zip(found["columns"], row, strict=True)) for row in found["data"]]


@dataclass
class Artifact:
    """A version of an artifact; others see it once it is committed."""

    id: str
    type: str
    source: "Collection"
    digest: str
    run: str
    aliases: list[str]
    metadata: Json
    files: dict[str, bytes] = field(default_factory=dict)
    committed: bool = False


@dataclass
class Collection:
    """Versions in the order of their coming, and names for some of them."""

    project: str
    name: str
    versions: list[Artifact] = field(default_factory=list)
    aliases: dict[str, Artifact] = field(default_factory=dict)

    def add(self, artifact: Artifact, aliases: list[str]) -> None:
        """Take a version in, once, and point names at it; each points at one version only."""
        if artifact not in self.versions:
            self.versions.append(artifact)
        self.aliases |= dict.fromkeys(aliases, artifact)


class Refused(Exception):
    """The server knows better; told as an error of GraphQL."""


class WandbServer:
    """Args:
    trouble: called before each request is answered, in the server's thread, with the name of a
        GraphQL operation, or `PUT`, or `file_stream`; a status that it returns is answered instead.
    """

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.asked: list[str] = []
        """What was asked so far; see `trouble`."""
        self.trouble: Callable[[str], int | None] = lambda operation: None
        self._collections: dict[tuple[str, str], Collection] = {}
        self._artifacts: dict[str, Artifact] = {}
        self._manifests: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.settings = {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def collection(self, project: str, name: str) -> Collection:
        """An empty one if nothing was ever put there."""
        return self._collections.setdefault((project, name), Collection(project, name))

    # ------------------------------------------------------------ HTTP

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Json]:
        """What a request is answered."""
        asked = json.loads(body) if method == "POST" and path == "/graphql" else {}
        operation = method if method == "PUT" else path.rsplit("/")[-1]
        if asked:
            found = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            assert found, asked["query"]
            operation = found[1]
        self.asked.append(operation)
        if status := self.trouble(operation):
            return status, {"errors": [{"message": "in trouble"}]}
        with self._lock:
            if asked:
                try:
                    return 200, {"data": self._operations(operation)(asked.get("variables") or {})}
                except Refused as error:
                    return 200, {"errors": [{"message": str(error)}]}
            if operation == "PUT":
                self._keep(path, body)
            elif operation == "file_stream":
                self._stream(path.split("/")[-2], json.loads(body))
            return 200, {}  # what is left are the client's own measurements

    def _operations(self, name: str) -> Callable[[Json], Json]:
        known: dict[str, Callable[[Json], Json]] = {
            "Viewer": self._viewer,
            "GetDefaultEntity": self._viewer,
            "ServerFeaturesQuery": lambda asked: {"serverInfo": {"features": []}},
            "FetchOrgInfoFromEntity": self._organisation,
            "IsProjectReadOnly": lambda asked: {"project": {"readOnly": False}},
            "UpsertBucket": self._upsert_run,
            "Run": self._run,
            "RunFiles": self._run_files,
            "CreateRunFiles": self._create_run_files,
            "CreateArtifact": self._create_artifact,
            "CreateArtifactManifest": self._create_manifest,
            "UpdateArtifactManifest": self._update_manifest,
            "CreateArtifactFiles": self._create_artifact_files,
            "CommitArtifact": self._commit_artifact,
            "ArtifactByID": self._artifact_by_id,
            "ArtifactType": self._artifact_type,
            "ArtifactMembershipByName": self._membership_by_name,
            "LinkArtifact": self._link,
            "AddAliases": self._add_aliases,
            "UpdateArtifact": self._update_artifact,
        }
        if name not in known:
            raise Refused(f"no operation {name} here")
        return known[name]

    # ------------------------------------------------------------ who asks

    def _viewer(self, asked: Json) -> Json:
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        viewer = {"id": "user", "entity": ENTITY, "username": "somebody", "email": "a@example.org"}
        return {"viewer": {**viewer, "flags": "{}", "teams": teams}}

    def _organisation(self, asked: Json) -> Json:
        organisation = {"name": ORGANISATION, "orgEntity": {"name": ORGANISATION}}
        return {"entity": {"organization": organisation, "user": None}}

    # ------------------------------------------------------------ runs

    def _upsert_run(self, asked: Json) -> Json:
        new = asked["name"] not in self.runs
        run = self.runs.setdefault(asked["name"], Run(asked["name"], asked["project"]))
        run.group = asked["groupName"] or run.group
        for name, value in json.loads(asked["config"] or "{}").items():
            run.config[name] = value["value"]
        return {"upsertBucket": {"bucket": self._told(run), "inserted": new}}

    def _run(self, asked: Json) -> Json:
        run = self.runs.get(asked["name"])
        state = {"state": "finished" if run and run.complete else "running", "projectId": "1"}
        return {"project": {"run": self._told(run) | state if run else None}}

    def _run_files(self, asked: Json) -> Json:
        edges = [
            {"node": {"id": name, "name": name, "sizeBytes": str(len(content))}, "cursor": name}
            for name, content in self.runs[asked["name"]].files.items()
        ]
        files = {"edges": edges, "pageInfo": {"endCursor": "", "hasNextPage": False}}
        told = {"fileCount": len(edges), "files": files}
        return {"project": {"internalId": "1", "run": told}}

    def _told(self, run: Run) -> Json:
        return {
            "id": f"run-{run.name}",
            "name": run.name,
            "displayName": run.name,
            "project": self._project(run.project),
            "config": json.dumps({name: {"value": value} for name, value in run.config.items()}),
            "summaryMetrics": json.dumps(run.summary),
            "historyLineCount": len(run.history),
        }

    def _create_run_files(self, asked: Json) -> Json:
        files = [
            {"name": name, "uploadUrl": f"{self.url}/runs/{asked['run']}/{name}"}
            for name in asked["files"]
        ]
        return {"createRunFiles": {"runID": asked["run"], "uploadHeaders": [], "files": files}}

    def _stream(self, name: str, told: Json) -> None:
        run = self.runs[name]
        for file, chunk in (told.get("files") or {}).items():
            lines = run.lines.setdefault(file, [])
            lines[chunk["offset"] :] = chunk["content"]
        run.complete = run.complete or bool(told.get("complete"))

    # ------------------------------------------------------------ artifacts

    def _create_artifact(self, asked: Json) -> Json:
        new = asked["input"]
        source = self.collection(new["projectName"], new["artifactCollectionName"])
        artifact = next(
            (
                one
                for one in self._artifacts.values()
                if one.source is source and one.digest == new["digest"]
            ),
            None,
        )
        if artifact is None:
            artifact = Artifact(
                id=f"artifact-{len(self._artifacts)}",
                type=new["artifactTypeName"],
                source=source,
                digest=new["digest"],
                run=new["runName"],
                aliases=[],
                metadata=json.loads(new["metadata"] or "{}"),
            )
            self._artifacts[artifact.id] = artifact
        artifact.aliases += [alias["alias"] for alias in new["aliases"] or ()]
        if artifact.committed:
            source.add(artifact, artifact.aliases)
        latest = source.aliases.get("latest")
        told = {
            "id": artifact.id,
            "state": "COMMITTED" if artifact.committed else "PENDING",
            "artifactSequence": {"latestArtifact": {"id": latest.id} if latest else None},
        }
        return {"createArtifact": {"artifact": told}}

    def _create_manifest(self, asked: Json) -> Json:
        return {"createArtifactManifest": self._manifest(asked["artifactID"])}

    def _update_manifest(self, asked: Json) -> Json:
        artifact_id = asked["artifactManifestID"].removeprefix("manifest-of-")
        return {"updateArtifactManifest": self._manifest(artifact_id)}

    def _manifest(self, artifact_id: str) -> Json:
        url = f"{self.url}/manifests/{artifact_id}"
        file = {"id": f"file-of-{artifact_id}", "uploadUrl": url, "uploadHeaders": []}
        return {"artifactManifest": {"id": f"manifest-of-{artifact_id}", "file": file}}

    def _create_artifact_files(self, asked: Json) -> Json:
        edges = []
        for file in asked["input"]["artifactFiles"]:
            path = f"{file['artifactID']}/{file['name']}"
            node: Json = {
                "storagePath": path,
                "uploadUrl": f"{self.url}/artifacts/{path}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": file["artifactID"]},
            }
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _keep(self, path: str, body: bytes) -> None:
        _, kind, owner, *rest = path.split("/", 3)
        if kind == "runs":
            self.runs[owner].files[rest[0]] = body
        elif kind == "manifests":
            self._manifests[owner] = body
        elif kind == "artifacts":
            self._artifacts[owner].files[rest[0]] = body

    def _commit_artifact(self, asked: Json) -> Json:
        artifact = self._artifacts[asked["artifactID"]]
        missing = json.loads(self._manifests[artifact.id])["contents"].keys() - artifact.files
        if missing:
            raise Refused(f"{artifact.id} lacks {', '.join(sorted(missing))}")
        artifact.committed = True
        artifact.source.add(artifact, ["latest", *artifact.aliases])
        return {"commitArtifact": {"artifact": {"id": artifact.id, "digest": artifact.digest}}}

    def _artifact_by_id(self, asked: Json) -> Json:
        artifact = self._artifacts.get(asked["id"])
        return {"artifact": self._shown(artifact) if artifact else None}

    def _artifact_type(self, asked: Json) -> Json:
        artifact = self._named(asked["project"], asked["name"])
        return {"project": {"artifact": artifact and {"artifactType": {"name": artifact.type}}}}

    def _named(self, project: str, path: str) -> Artifact | None:
        name, alias = path.split(":")
        collection = self._collections.get((project, name))
        return collection.aliases.get(alias) if collection else None

    def _membership_by_name(self, asked: Json) -> Json:
        artifact = self._named(asked["project"], asked["name"])
        if artifact is None:
            return {"project": {"artifactCollectionMembership": None}}
        collection = self.collection(asked["project"], asked["name"].split(":")[0])
        membership = self._membership(collection, artifact)
        return {"project": {"artifactCollectionMembership": membership}}

    def _link(self, asked: Json) -> Json:
        new = asked["input"]
        artifact = self._artifacts[new["artifactID"]]
        collection = self.collection(new["projectName"], new["artifactPortfolioName"])
        collection.add(artifact, ["latest", *(alias["alias"] for alias in new["aliases"])])
        membership = self._membership(collection, artifact)
        index = membership["versionIndex"]
        return {"result": {"versionIndex": index, "artifactMembership": membership}}

    def _add_aliases(self, asked: Json) -> Json:
        artifact = self._artifacts[asked["input"]["artifactID"]]
        for alias in asked["input"]["aliases"]:
            collection = self.collection(alias["projectName"], alias["artifactCollectionName"])
            if artifact not in collection.versions:
                raise Refused(f"{artifact.id} isn't in {collection.name}")
            collection.add(artifact, [alias["alias"]])
        return {"result": {"success": True}}

    def _update_artifact(self, asked: Json) -> Json:
        artifact = self._artifacts[asked["input"]["artifactID"]]
        artifact.metadata = json.loads(asked["input"]["metadata"] or "{}")
        return {"result": {"artifact": self._shown(artifact)}}

    def _membership(self, collection: Collection, artifact: Artifact) -> Json:
        return {
            "__typename": "ArtifactCollectionMembership",
            "id": f"{collection.project}/{collection.name}/{artifact.id}",
            "versionIndex": collection.versions.index(artifact),
            "createdAt": NOW,
            "aliases": [
                {"__typename": "ArtifactAlias", "id": alias, "alias": alias}
                for alias, one in collection.aliases.items()
                if one is artifact
            ],
            "artifactCollection": self._shown_collection(collection),
            "artifact": self._shown(artifact),
        }

    def _shown(self, artifact: Artifact) -> Json:
        return {
            "__typename": "Artifact",
            "id": artifact.id,
            "artifactSequence": self._shown_collection(artifact.source),
            "versionIndex": artifact.source.versions.index(artifact),
            "artifactType": {"name": artifact.type},
            "description": None,
            "metadata": json.dumps(artifact.metadata),
            "ttlDurationSeconds": -1,
            "ttlIsInherited": True,
            "tags": [],
            "historyStep": None,
            "state": "COMMITTED",
            "size": sum(map(len, artifact.files.values())),
            "digest": artifact.digest,
            "commitHash": artifact.id,
            "fileCount": len(artifact.files),
            "createdAt": NOW,
            "updatedAt": NOW,
            "aliases": [],
        }

    def _shown_collection(self, collection: Collection) -> Json:
        registry = collection.project.startswith("wandb-registry-")
        return {
            "__typename": "ArtifactPortfolio" if registry else "ArtifactSequence",
            "name": collection.name,
            "project": self._project(collection.project),
        }

    def _project(self, name: str) -> Json:
        owner = ORGANISATION if name.startswith("wandb-registry-") else ENTITY
        entity = {"id": f"entity-{owner}", "name": owner}
        return {"id": f"project-{name}", "internalId": "1", "name": name, "entity": entity}


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    expected = "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            known = self.command == "PUT" or self.headers.get("Authorization") == expected
            status, told = server.answer(self.command, self.path, body) if known else (401, {})
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_POST

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # clients that are killed hang up
                super().handle()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing; tests ask the server itself."""

    return Handler
