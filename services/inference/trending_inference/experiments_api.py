"""The routes of experiments."""

import asyncio
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from pydantic import StringConstraints

from trending_inference.api import cached, links_of, matches
from trending_inference.filters import Paged
from trending_inference.gateway import UNIT_PATTERN, CallerName, Gateway, GatewayDep
from trending_inference.problems import Problem, problem_responses, takes_json
from trending_inference.schemas import (
    ArmInService,
    AssignmentAnswer,
    ExperimentChange,
    ExperimentHere,
    ExperimentHistory,
    ExperimentsAnswer,
    ExperimentState,
)
from trending_inference.serving import role_of
from trending_shared.errors import ExperimentInvalid, ExperimentMoved
from trending_shared.experiments import Experiment, Subject, assign

log = structlog.get_logger()

Target = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", examples=["genres"])]
Unit = Annotated[str, StringConstraints(pattern=UNIT_PATTERN)]
EXAMPLES: dict[str, Any] = {
    "shadow": {
        "summary": "A candidate is asked beside the champion, and nobody sees its answers",
        "value": {
            "name": "autumn",
            "arms": [
                {"name": "control", "version": "champion", "weight": 1},
                {"name": "candidate", "version": "9f2c4e6a8b0d1f37", "shadow": 1},
            ],
            "reason": "does it agree with the champion?",
        },
    },
    "split": {
        "summary": "A tenth of the units gets its answers",
        "value": {
            "name": "autumn",
            "arms": [
                {"name": "control", "version": "champion", "weight": 0.9},
                {"name": "candidate", "version": "9f2c4e6a8b0d1f37", "weight": 0.1},
            ],
            "reason": "it agrees",
        },
    },
    "stop": {
        "summary": "The champion alone answers again",
        "value": {
            "name": "autumn",
            "state": "stopped",
            "arms": [{"name": "control", "version": "champion", "weight": 1}],
            "reason": "decided",
        },
    },
}


def experiment_routes() -> APIRouter:
    """The routes of experiments, on a router of its own for each app."""
    routes = APIRouter(prefix="/v1/experiments", tags=["operations"])

    @routes.get(
        "",
        summary="Which versions are compared?",
        response_model=ExperimentsAnswer,
        responses=problem_responses(422, 503),
    )
    async def experiments(
        request: Request, gateway: GatewayDep, asked: Annotated[Paged, Query()]
    ) -> Response:
        """The last experiment with each target, and what is loaded of it in this process."""
        found = await asyncio.to_thread(gateway.experiments.all)
        answer = ExperimentsAnswer(
            total=len(found),
            items=[
                _here(gateway, each) for each in found[asked.offset : asked.offset + asked.limit]
            ],
            links=links_of(request, len(found), asked),
        )
        return cached(request, answer)

    @routes.get(
        "/{subject}/{target}",
        summary="An experiment, and all that went before it",
        response_model=ExperimentHistory,
        responses=problem_responses(404, 422, 503),
    )
    async def experiment(
        request: Request,
        subject: Subject,
        target: Target,
        gateway: GatewayDep,
        asked: Annotated[Paged, Query()],
    ) -> Response:
        """Its states, the newest first. The `ETag` is what a change sends as `If-Match`."""
        history = await asyncio.to_thread(gateway.experiments.history, subject, target)
        if not history:
            raise _unknown()
        tag = _tag(history[-1])
        if matches(request.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers={"ETag": tag, "Cache-Control": "no-cache"})
        states = [_state(each) for each in reversed(history)]
        answer = ExperimentHistory(
            current=states[0],
            total=len(states),
            history=states[asked.offset : asked.offset + asked.limit],
            links=links_of(request, len(states), asked),
        )
        return Response(
            answer.model_dump_json(),
            media_type="application/json",
            headers={"ETag": tag, "Cache-Control": "no-cache"},
        )

    @routes.get(
        "/{subject}/{target}/assignment",
        summary="Which arm is whose?",
        responses=problem_responses(404, 422, 503),
    )
    async def assignment(
        subject: Subject,
        target: Target,
        unit: Annotated[Unit, Query(description="as `X-Unit-Id` names it", examples=["viewer-7"])],
        gateway: GatewayDep,
    ) -> AssignmentAnswer:
        """The arm that a unit gets, and the hash under which it is on record."""
        found = await asyncio.to_thread(gateway.experiments.current, subject, target)
        if found is None or not found.running:
            raise _unknown()
        drawn = assign(found, unit)
        return AssignmentAnswer(
            experiment=drawn.experiment,
            number=found.number,
            unit=drawn.unit,
            arm=drawn.arm.name,
            version=drawn.arm.version,
            shadows=[arm.name for arm in drawn.shadows],
        )

    @routes.put(
        "/{subject}/{target}",
        summary="Start, change or stop an experiment",
        responses=problem_responses(400, 404, 409, 412, 413, 415, 422, 428, 503),
        dependencies=[Depends(takes_json)],
    )
    async def change(
        subject: Subject,
        target: Target,
        asked: Annotated[ExperimentChange, Body(openapi_examples=EXAMPLES)],
        response: Response,
        gateway: GatewayDep,
        caller: CallerName,
        if_match: Annotated[
            str | None, Header(max_length=64, description="the `ETag` that this is to follow")
        ] = None,
    ) -> ExperimentState:
        """Put what is asked in force; gateways follow within a second or so.

        The first experiment with a target needs no `If-Match`. One experiment runs at a time, and
        keeps its name and the versions of its arms; weights, shadows and new arms are for changing.
        """
        if target not in {each.target for each in gateway.serves if each.subject == subject}:
            raise Problem(404, "target-unknown", "nothing of this name is served here")
        before = await asyncio.to_thread(gateway.experiments.current, subject, target)
        if before and if_match is None:
            raise Problem(428, "match-needed", "send the last ETag as If-Match")
        if if_match is not None and not (before and matches(if_match, _tag(before))):
            raise _moved()
        try:
            new = await asyncio.to_thread(
                gateway.experiments.change,
                subject,
                target,
                name=asked.name,
                state=asked.state,
                arms=asked.arms,
                expected=before,
                reasons=(asked.reason,),
                changed_by=caller,
                at=gateway.clock.now(),
            )
        except ExperimentMoved as error:
            raise _moved() from error
        except ExperimentInvalid as error:
            raise Problem(409, "experiment-invalid", str(error)) from error
        log.info(
            "experiment_changed",
            subject=subject,
            target=target,
            experiment=new.name,
            number=new.number,
            state=new.state,
        )
        response.headers["ETag"] = _tag(new)
        response.headers["Cache-Control"] = "no-store"
        return _state(new)

    return routes


def _here(gateway: Gateway, found: Experiment) -> ExperimentHere:
    """An experiment, and how its arms stand in this process."""
    now = next(
        (
            each.look()
            for each in gateway.serves
            if (each.subject, each.target) == (found.subject, found.target)
        ),
        None,
    )
    follows = now is not None and now.experiment == (found if found.running else None)
    arms = []
    for arm in found.arms:
        loaded = now.of(arm) if now and follows else None
        broken = now.broken.get(role_of(found, arm)) if now else None
        arms.append(
            ArmInService(
                **arm.model_dump(),
                in_service=loaded.version if loaded else None,
                reason=broken.reason if broken else None,
            )
        )
    return ExperimentHere(**_state(found).model_dump(exclude={"arms"}), follows=follows, arms=arms)


def _state(found: Experiment) -> ExperimentState:
    return ExperimentState(**found.model_dump())


def _tag(found: Experiment) -> str:
    return f'"{found.number}"'


def _unknown() -> Problem:
    return Problem(404, "experiment-unknown", "there is no such experiment")


def _moved() -> Problem:
    return Problem(412, "experiment-changed", "someone changed it meanwhile; read it again")
