"""Settings: the only reader of the environment. Read once, frozen, judged whole; unknown ``CIO_`` names are refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from petrosa_cio.errors import SettingsError

PREFIX = "CIO_"


def default_data_dir() -> Path:
    """``$XDG_DATA_HOME/petrosa-cio``, else ``~/.local/share/petrosa-cio``."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "petrosa-cio"


class Settings(BaseSettings):
    """Production settings. Every field is an environment variable: ``CIO_`` and the name in upper case."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    nats_url: str = Field(
        default="nats://127.0.0.1:4222",
        description="NATS servers, comma-separated: nats://host:port. The server must have JetStream enabled.",
    )
    nats_credentials: Path | None = Field(default=None, description="NATS credentials file (.creds). Never logged.")
    book: str = Field(
        default="main",
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description="Book this gate judges: intents of one book are judged one after another.",
    )
    policy_file: Path | None = Field(
        default=None,
        description="Policy file (JSON, docs/policy.md). Without one the defaults hold, which require every fact.",
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Directory of the query store, logs and pid files.",
    )
    mongodb_uri: SecretStr | None = Field(
        default=None,
        description="MongoDB that keeps the query store and the configuration, mongodb:// or mongodb+srv:// with user "
        "and password; without one they are files in the data directory. Never logged.",
    )
    mongodb_database: str = Field(
        default="petrosa_cio",
        pattern=r"^[A-Za-z0-9_-]{1,38}$",
        description="Database there that is ours alone.",
    )
    signal_subject: str = Field(
        default="signals.trading",
        pattern=r"^[A-Za-z0-9_.-]+(\.\{strategy_id\})?$",
        description="Where promoted signals leave. The current engine needs signals.trading.{strategy_id}.",
    )
    heartbeat_subject: str = Field(
        default="cio.heartbeat",
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
        description="Where beats for the engine leave and requests are answered; requests are answered on .ping under "
        "it, too.",
    )
    heartbeat_seconds: float = Field(
        default=1.0,
        ge=0.1,
        le=10,
        description="Seconds between beats. The engine restricts itself after 60 without one, and wants three to "
        "recover.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis on which the policy is put up as well, redis:// or rediss:// with user and password; gates "
        "then follow it there. Without it they follow it on NATS.",
    )
    legacy_config: bool = Field(
        default=True,
        description="Whether the engine's configuration manager may change the policy, without thought trace or second "
        "person. It may read it in any case.",
    )
    binance_api_key: SecretStr | None = Field(
        default=None, description="Read-only Binance USD-M key: the probe then asks for account, positions and orders."
    )
    binance_api_secret: SecretStr | None = Field(default=None, description="Secret of that key. Never logged.")
    binance_url: str = Field(
        default="https://fapi.binance.com", description="REST interface of Binance USD-M futures that is probed."
    )
    market_source: Literal["fleet", "binance", "none"] = Field(
        default="fleet",
        description="Where market facts come from: the fleet's market subject on NATS, Binance's public streams, or "
        "nowhere.",
    )
    market_subjects: str = Field(
        default="binance.websocket.data,binance.futures.websocket.data",
        pattern=r"^[A-Za-z0-9_*>-]+(\.[A-Za-z0-9_*>-]+)*(,[A-Za-z0-9_*>-]+(\.[A-Za-z0-9_*>-]+)*)*$",
        description="Subjects on which the fleet publishes the market, comma-separated.",
    )
    symbols: str = Field(
        default="",
        pattern=r"^([A-Z0-9_]{3,64}(,[A-Z0-9_]{3,64})*)?$",
        description="Symbols whose market is followed, comma-separated; the regime guard's leaders are followed as "
        "well. Empty: every one that the fleet's subject carries. Source binance needs at least one.",
    )
    binance_stream_url: str = Field(
        default="wss://fstream.binance.com", description="Public streams of Binance USD-M futures, for source binance."
    )
    probe_interval_minutes: float = Field(
        default=0.0,
        ge=0,
        le=10_080,
        description="Minutes between probes of the exchange's answers (petrosa-cio probe). 0: none.",
    )
    account_source: Literal["none", "engine", "binance"] = Field(
        default="none",
        description="Who is asked what the account holds: the engine's REST interface, or Binance with a read-only "
        "key. Figures of the two are never put together.",
    )
    engine_url: str | None = Field(
        default=None, description="REST interface of the engine: http://host:port. Needed where it is the source."
    )
    account_poll_seconds: float = Field(
        default=5.0, ge=1, le=3600, description="Seconds between two looks at the account. Binance counts each as 50."
    )
    intents_days: float = Field(default=7.0, gt=0, description="Days the intent stream keeps what arrived.")
    outbox_days: float = Field(default=30.0, gt=0, description="Days the outbox keeps signals.")
    quarantine_days: float = Field(default=90.0, gt=0, description="Days the quarantine keeps raw bytes.")
    replicas: int = Field(
        default=1, ge=1, le=5, description="Copies of each stream on a NATS cluster; 3 in production."
    )
    log_format: Literal["json", "text"] = Field(default="json", description="Form of the logs on standard error.")

    @field_validator("mongodb_uri")
    @classmethod
    def _is_connection_string(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None and not given.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            msg = "must begin with mongodb:// or mongodb+srv://"  # and not a word of what it is: it may hold a password
            raise ValueError(msg)
        return given


def read_settings() -> Settings:
    """Read the environment. Raises SettingsError naming every setting that cannot be used, and unknown ones."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    faults = [
        f"{name} is no setting of ours"
        for name in sorted(os.environ)
        if name.startswith(PREFIX) and name not in known and not name.startswith("CIO_TEST_")
    ]
    try:
        settings = Settings()
    except ValidationError as error:
        faults += [f"{PREFIX}{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors()]
    else:
        if (settings.binance_api_key is None) != (settings.binance_api_secret is None):
            faults.append(f"{PREFIX}BINANCE_API_KEY and {PREFIX}BINANCE_API_SECRET: set both or neither")
        if settings.account_source == "engine" and settings.engine_url is None:
            faults.append(f"{PREFIX}ENGINE_URL: the engine is the source of the account, so it is needed")
        if settings.account_source == "binance" and settings.binance_api_key is None:
            faults.append(f"{PREFIX}BINANCE_API_KEY: Binance is the source of the account, so it is needed")
        if settings.market_source == "binance" and not settings.symbols:
            faults.append(f"{PREFIX}MARKET_SOURCE: binance needs {PREFIX}SYMBOLS, such as BTCUSDT,ETHUSDT")
        if not faults:
            return settings
    raise SettingsError("; ".join(faults))


def described() -> tuple[tuple[str, str, str], ...]:
    """Every setting: its variable, its default as text, what it means."""
    rows: list[tuple[str, str, str]] = []
    for name, field in Settings.model_fields.items():
        default = "data directory of the user" if name == "data_dir" else "" if field.default is None else field.default
        rows.append((PREFIX + name.upper(), str(default), field.description or ""))
    return tuple(rows)
