"""What consuming services have in common: one broker, one consumer, probes."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import structlog
from faststream.asgi import AsgiFastStream
from faststream.kafka import KafkaBroker
from faststream.security import (
    BaseSecurity,
    SASLOAuthBearer,
    SASLPlaintext,
    SASLScram256,
    SASLScram512,
)
from prometheus_client import CollectorRegistry

from trending_shared.clock import Clock, SystemClock
from trending_shared.delivery import Consumer
from trending_shared.emf import telling_metrics
from trending_shared.events import Event, ServiceConfigured
from trending_shared.probes import Check, describe_process, probe_routes
from trending_shared.publishing import KafkaPublisher, configured
from trending_shared.settings import ConsumerSettings, KafkaSettings, ServiceSettings
from trending_shared.storage import check_store
from trending_shared.topics import TopicSpec, ensure_topics, group_topics, topic_spec
from trending_shared.tracing import OFF, Tracing

log = structlog.get_logger()


class WorkerApp(AsgiFastStream):
    """A consuming service as an ASGI application.

    `consumer` and `produces` say what travels in and out; the contracts are generated from them.
    """

    consumer: Consumer
    produces: tuple[type[Event], ...]


def create_broker(kafka: KafkaSettings, *, service: str) -> KafkaBroker:
    """The FastStream broker of a service; topics are created here, delivery is `Consumer`'s."""
    return KafkaBroker(
        kafka.bootstrap_servers,
        client_id=f"trending-{service}",
        security=_security(kafka),
        sasl_oauth_token_provider=kafka.connection.get("sasl_oauth_token_provider"),
        allow_auto_create_topics=False,
        graceful_timeout=30,  # longer than a normal batch; then it is read again after the start
        logger=None,
    )


@dataclass(frozen=True, slots=True)
class Base:
    """What every consuming service is built on; nothing of it is started."""

    settings: ServiceSettings
    registry: CollectorRegistry
    clock: Clock
    publisher: KafkaPublisher
    consumer: Consumer
    tracing: Tracing = OFF

    @classmethod
    def of(cls, service: str, settings: ConsumerSettings) -> Self:
        """One publisher and one consumer, named after the service.

        Raises:
            SettingInvalid: a variable of OpenTelemetry's can't be used.
        """
        registry, clock = CollectorRegistry(), SystemClock()
        tracing = Tracing(service, code_version=settings.code_version)
        describe_process(registry, service=service, code_version=settings.code_version)
        publisher = KafkaPublisher(
            settings.kafka,
            service=service,
            code_version=settings.code_version,
            registry=registry,
            clock=clock,
            tracing=tracing,
        )
        consumer = Consumer(
            service=service,
            publisher=publisher,
            registry=registry,
            batch_size=settings.batch_size,
            dead_letter_limit=settings.dead_letter_limit,
            clock=clock,
            tracing=tracing,
            tell_handled=settings.log_events,
        )
        return cls(settings, registry, clock, publisher, consumer, tracing)


def worker_app(
    base: Base,
    *,
    produces: Sequence[type[Event]],
    topics: Sequence[TopicSpec] = (),
    ready: Mapping[str, Check] | None = None,
    lifespan: Callable[[], AbstractAsyncContextManager[None]] | None = None,
) -> WorkerApp:
    """Connect a consumer to Kafka and give it probes.

    Args:
        produces: the events this service publishes; their topics are created with those it
            consumes.
        topics: created as well.
        ready: what must answer besides the broker before the service is ready.
        lifespan: entered before the first message, left after the last.
    """
    kafka, consumer = base.settings.kafka, base.consumer
    produces = (*produces, ServiceConfigured)
    broker = create_broker(kafka, service=consumer.service)
    consumer.subscribe(broker)

    @asynccontextmanager
    async def life() -> AsyncIterator[None]:
        kinds = {*consumer.consumes, *produces}
        specs = [topic_spec(kind, partitions=kafka.partitions) for kind in kinds]
        specs += [*topics, *group_topics(consumer.consumes, consumer.service, consumer.delays)]
        await ensure_topics(specs, kafka.connection, kafka.replication_factor)
        await check_store(base.settings.store)
        async with AsyncExitStack() as stack:
            stack.enter_context(base.tracing)
            await stack.enter_async_context(base.publisher)
            await base.publisher.publish(
                [configured(consumer.service, base.settings, consumer.consumes, produces)]
            )
            if lifespan:
                await stack.enter_async_context(lifespan())
            await stack.enter_async_context(
                telling_metrics(
                    base.registry,
                    service=consumer.service,
                    namespace=base.settings.metrics_emf_namespace,
                    clock=base.clock,
                )
            )
            log.info("service_started", consumes=[kind.topic for kind in consumer.consumes])
            yield
            consumer.close()
            log.info("service_stopped")

    async def kafka_answers() -> bool:
        return bool(await broker.ping(timeout=2))

    app = WorkerApp(
        broker,
        lifespan=life,
        logger=None,
        asgi_routes=probe_routes(
            base.registry,
            ready={"kafka": kafka_answers, **(ready or {})},
            consumer=consumer,
            clock=base.clock,
        ),
    )
    app.consumer = consumer
    app.produces = produces
    return app


def _security(kafka: KafkaSettings) -> BaseSecurity | None:
    """`kafka.connection` as FastStream wants it told."""
    context = kafka.ssl_context
    encrypted: dict[str, Any] = {"ssl_context": context, "use_ssl": context is not None}
    if not kafka.uses_sasl:
        return BaseSecurity(**encrypted) if context else None
    if kafka.uses_iam:
        return SASLOAuthBearer(**encrypted)
    kinds = {
        "PLAIN": SASLPlaintext,
        "SCRAM-SHA-256": SASLScram256,
        "SCRAM-SHA-512": SASLScram512,
    }
    return kinds[kafka.sasl_mechanism](
        username=kafka.connection["sasl_plain_username"],
        password=kafka.connection["sasl_plain_password"],
        **encrypted,
    )
