"""What the trainer does when something happens."""

import asyncio

from trending_shared.delivery import Consumer
from trending_shared.events import RecordsErased, TrainingRequested
from trending_shared.messages import Message
from trending_trainer.erasing import Eraser
from trending_trainer.runs import Request, Runs
from trending_trainer.supervising import Supervisor


def register_handlers(
    consumer: Consumer, runs: Runs, supervisor: Supervisor, eraser: Eraser
) -> None:
    async def on_training_requested(message: Message[TrainingRequested]) -> None:
        await asyncio.to_thread(runs.claim, Request.of(message))
        supervisor.wake()

    consumer.on_each(TrainingRequested, on_training_requested)
    consumer.on_each(RecordsErased, eraser.on_records_erased)
