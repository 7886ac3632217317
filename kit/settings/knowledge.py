"""What instances know: sources, embeddings, and the workers that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from kit.settings.base import Settings


class KnowledgeSettings(Settings):
    """Knowledge sources: where their bytes and chunks are, and how much of them an instance may have."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_KNOWLEDGE_")
    #: Shared by the console API and the ingestion workers. Empty: `blobs` in the data folder.
    blob_dir: str = ""
    store: Literal["clickhouse", "weaviate"] = "clickhouse"
    weaviate_url: str = "http://127.0.0.1:18090"
    weaviate_grpc_port: int = Field(default=18091, ge=1, le=65_535)
    weaviate_api_key: SecretStr = SecretStr("")
    max_sources: int = Field(default=200, ge=1, le=5_000)
    max_bytes: int = Field(default=1_073_741_824, ge=1_024)
    max_upload_bytes: int = Field(default=104_857_600, ge=1_024, le=1_073_741_824)
    max_site_pages: int = Field(default=200, ge=1, le=5_000)
    #: What an instance knew, and transcripts of what it said, are deleted so long after its end.
    keep_ended_days: int = Field(default=30, ge=0, le=3_650)
    #: How often the console API looks for sources whose time to be read anew has come.
    schedule_every_ms: int = Field(default=30_000, ge=50, le=3_600_000)


class EmbeddingSettings(Settings):
    """What turns text into vectors. Chunks are found by the model that they were embedded with."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_EMBEDDING_")
    #: An OpenAI-compatible base URL, such as `https://api.openai.com/v1`. Empty: `wordllama`, offline.
    base_url: str = ""
    api_key: SecretStr = SecretStr("")
    model: str = "text-embedding-3-small"
    batch_texts: int = Field(default=64, ge=1, le=2_048)
    timeout_ms: int = Field(default=30_000, ge=100, le=600_000)


class IngestionSettings(Settings):
    """The ingestion worker. Every stage has its limits; what exceeds one fails with its reason."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_INGESTION_")
    spool_dir: Path = Path(".runmeter/spool/ingestion")
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    concurrency: int = Field(default=2, ge=1, le=64)
    #: The whole of one source, whatever its stages.
    source_timeout_ms: int = Field(default=1_800_000, ge=1_000, le=86_400_000)
    fetch_timeout_ms: int = Field(default=20_000, ge=100, le=600_000)
    max_fetch_bytes: int = Field(default=20_971_520, ge=1_024, le=1_073_741_824)
    max_redirects: int = Field(default=5, ge=0, le=20)
    #: Hosts, comma-separated, that may be in a private network. None by default: a URL is a stranger's wish.
    private_hosts: str = ""
    crawl_delay_ms: int = Field(default=250, ge=0, le=60_000)
    crawl_timeout_ms: int = Field(default=900_000, ge=1_000, le=86_400_000)
    parse_timeout_ms: int = Field(default=120_000, ge=100, le=3_600_000)
    parse_cpu_s: int = Field(default=90, ge=1, le=3_600)
    parse_memory_bytes: int = Field(default=1_610_612_736, ge=268_435_456)
    max_file_bytes: int = Field(default=104_857_600, ge=1_024, le=1_073_741_824)
    max_text_chars: int = Field(default=10_000_000, ge=1_000, le=100_000_000)
    max_pages: int = Field(default=2_000, ge=1, le=100_000)
    chunk_tokens: int = Field(default=320, ge=32, le=4_096)
    chunk_overlap_tokens: int = Field(default=40, ge=0, le=1_024)
    max_chunks: int = Field(default=20_000, ge=1, le=1_000_000)
    user_agent: str = "RunmeterBot/1.0"
