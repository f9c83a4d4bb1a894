"""The routes of scrape jobs: publish one, ask how far it has come, follow it."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID, uuid4, uuid5

import structlog
from fastapi import APIRouter, Depends, Header, Path
from fastapi.sse import EventSourceResponse, ServerSentEvent

from trending_inference.following import Following, JobUnknown
from trending_inference.gateway import GatewayDep
from trending_inference.problems import Problem, problem_responses, takes_json
from trending_inference.schemas import JOB_ID, IdempotencyKey, JobAccepted, JobRequest, JobStatus
from trending_shared.events import ScrapeJob
from trending_shared.messages import NAMESPACE, first_message

log = structlog.get_logger()

_STREAM = (
    "Server-sent events `progress` and, at the end, `done`; their data is a `JobStatus`, their id "
    "how many events of the job had come by then. Comments in between say that we are there."
)


def job_routes() -> APIRouter:
    """The routes of jobs, on a router of its own for each app."""
    routes = APIRouter(prefix="/v1")

    @routes.post(
        "/jobs",
        summary="Have a source scraped",
        status_code=202,
        responses=problem_responses(400, 413, 415, 422, 503),
        dependencies=[Depends(takes_json)],
        tags=["operations"],
    )
    async def jobs(
        asked: JobRequest,
        gateway: GatewayDep,
        idempotency_key: Annotated[IdempotencyKey | None, Header()] = None,
    ) -> JobAccepted:
        """Publish a scrape job. The same request under the same `Idempotency-Key` is the same job.

        Without a `url` the job starts at the page that the gateway was told for this source.
        """
        url = str(asked.url) if asked.url else gateway.settings.start_urls.get(asked.source)
        if url is None:
            raise Problem(422, "url-needed", "no first page is set for this source; send a url")
        job = ScrapeJob(source=asked.source, url=url, max_pages=asked.max_pages)
        name = f"job:{idempotency_key}:{job.model_dump_json()}"
        job_id = uuid5(NAMESPACE, name) if idempotency_key else uuid4()
        await gateway.recorder.publish([first_message(job, id=job_id)])
        log.info("job_published", job_id=str(job_id), source=job.source)
        return JobAccepted(job_id=job_id)

    @routes.get(
        "/jobs/{job_id}",
        summary="How far has it come?",
        responses=problem_responses(404, 422, 503),
        tags=["operations"],
    )
    async def status(followed: Followed) -> JobStatus:
        """What came of a job by now, read from the event log; jobs are known for 14 days."""
        return JobStatus.model_validate(followed.walk.summary())

    @routes.get(
        "/jobs/{job_id}/events",
        summary="Follow it",
        response_class=EventSourceResponse,
        responses={200: {"description": _STREAM}, **problem_responses(404, 422, 503)},
        tags=["operations"],
    )
    async def events(
        followed: Followed,
        last_event_id: Annotated[
            int, Header(ge=0, le=2**53, description="of the last event that was received")
        ] = 0,
    ) -> AsyncIterator[ServerSentEvent]:
        """A job's status whenever more of it has come, until it is done: close the stream then.

        With `Last-Event-ID`, as browsers send it by themselves, only what is new since then. A
        stream ends without `done` after ten minutes, or when the gateway is stopped: come again.
        """
        async for walk in followed.changes(last_event_id):
            yield ServerSentEvent(
                event="done" if walk.settled else "progress",
                id=str(walk.seen),
                data=JobStatus.model_validate(walk.summary()),
            )

    return routes


async def _followed(
    job_id: Annotated[UUID, Path(examples=[JOB_ID])], gateway: GatewayDep
) -> AsyncIterator[Following]:
    try:
        async with gateway.jobs.following(job_id) as following:
            yield following
    except JobUnknown as error:
        raise Problem(404, "job-unknown", "no such job is in the log") from error


Followed = Annotated[Following, Depends(_followed)]
