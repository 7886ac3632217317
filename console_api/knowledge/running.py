"""What knowledge needs in one process: blobs, vectors, a model, an ear for progress, and a schedule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from console_api.control.intake import Intake
from console_api.control.plane import ControlPlane
from console_api.knowledge import progress
from console_api.knowledge.schedule import Schedule
from console_api.metrics import Metrics
from kit import embeddings, vectors
from kit.blobs import BlobStore, FileBlobs
from kit.embeddings import Embedder
from kit.settings import (
    ClickHouseSettings,
    EmbeddingSettings,
    KafkaSettings,
    KnowledgeSettings,
    StackSettings,
    load,
)
from kit.tasks import ended
from kit.vectors.port import VectorStore
from schemas import topics


@dataclass(frozen=True)
class KnowledgeConfig:
    """The settings of knowledge sources."""

    knowledge: KnowledgeSettings
    embedding: EmbeddingSettings
    data_dir: Path

    @classmethod
    def load(cls) -> KnowledgeConfig:
        """Read the environment. Raises `SystemExit` with the variable to correct."""
        return cls(load(KnowledgeSettings), load(EmbeddingSettings), load(StackSettings).data_dir)


@dataclass(frozen=True)
class Knowledge:
    """What there is to work with."""

    blobs: BlobStore
    store: VectorStore
    embedder: Embedder
    settings: KnowledgeSettings


@asynccontextmanager
async def running(
    config: KnowledgeConfig,
    plane: ControlPlane,
    kafka: KafkaSettings,
    clickhouse: ClickHouseSettings,
    metrics: Metrics,
) -> AsyncIterator[Knowledge]:
    """Listen to the ingestion workers until the block ends. Everything is connected to on first use."""
    folder = config.knowledge.blob_dir
    knowledge = Knowledge(
        FileBlobs(Path(folder) if folder else config.data_dir / "blobs"),
        vectors.connect(config.knowledge, clickhouse),
        embeddings.connect(config.embedding),
        config.knowledge,
    )
    schedule = Schedule(plane, config.knowledge, knowledge.embedder.model)
    work = [asyncio.create_task(run) for run in (_listen(plane, kafka, metrics), _keep_to(schedule, plane))]
    try:
        yield knowledge
    finally:
        await ended(*work)
        await knowledge.store.close()
        await knowledge.embedder.close()


async def _listen(plane: ControlPlane, kafka: KafkaSettings, metrics: Metrics) -> None:
    await plane.ready.wait()
    takers = {topics.INGESTION_PROGRESS: partial(progress.take, plane.database)}
    await Intake(kafka, progress.GROUP, takers, metrics).run()


async def _keep_to(schedule: Schedule, plane: ControlPlane) -> None:
    await plane.ready.wait()
    await schedule.run()


def _knowledge(request: Request) -> Knowledge:
    knowledge = request.app.state.knowledge
    assert isinstance(knowledge, Knowledge)
    return knowledge


KnowledgeDep = Annotated[Knowledge, Depends(_knowledge)]
