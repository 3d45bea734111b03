"""Every setting of every process, in one place: environment variables with the prefix `LETHE_`.

All parts of a deployment read the same settings. The table in the README is generated from here
(`make readme`) and a test keeps it true.
"""

import hashlib
import tempfile
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.domain.clocks import DUE_SOON
from service.domain.quiet_hours import Zone

PREFIX = "LETHE_"
# The shortest sockaddr_un.sun_path in use is 104 bytes (macOS), Linux has 108; both count the closing NUL.
SOCKET_PATH_BYTES = 103


def embedded_redis_socket(home: Path) -> Path:
    """Where the embedded Redis of a home listens, so that every process on that home finds it.

    A home whose path is too long for a Unix socket has it in the temporary directory instead.
    """
    socket = home / "redis" / "redis.sock"
    if len(bytes(socket)) <= SOCKET_PATH_BYTES:
        return socket
    return Path(tempfile.gettempdir()) / f"lethe-{hashlib.sha256(bytes(home)).hexdigest()[:16]}" / "redis.sock"


def _under_home(template: str) -> Callable[[dict[str, Any]], str]:
    """A default that is a URL below the home directory."""
    return lambda given: template.format(home=given["home"]) if "home" in given else ""


def _embedded_redis_url(given: dict[str, Any]) -> str:
    return f"unix://{embedded_redis_socket(given['home'])}" if "home" in given else ""


def _networks(value: str) -> str:
    for network in value.split():
        ip_network(network)
    return value


def port_range(value: str) -> range:
    """`443`, or `1024-65535`. Raises ValueError."""
    first, _, last = value.partition("-")
    ports = range(int(first), int(last or first) + 1)
    if not (ports and ports[0] >= 1 and ports[-1] <= 65_535):
        raise ValueError("ports lie between 1 and 65535, the lower one first")
    return ports


def _ports(value: str) -> str:
    for ports in value.split():
        port_range(ports)
    return value


def _documented(default: str) -> dict[str, Any]:
    """The words the settings table uses for a default that depends on other settings."""
    return {"documented_default": default}


class Settings(BaseSettings):
    """The settings of one process. Instances are frozen; a field's unit is the end of its name."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    home: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default=Path(".lethe"),
        description="Directory of the embedded stack: database, Redis files, blobs, logs, keys.",
        validate_default=True,
    )
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(
        default=8080, ge=0, le=65_535, description="Port the API listens on. 0: `lethe up` picks a free one."
    )
    api_processes: int = Field(
        default=1,
        ge=1,
        le=32,
        description="How many API processes `lethe up` runs on that port. With two, one answers while the other is "
        "started again; each limits its callers by itself.",
    )
    listen_fd: int | None = Field(
        default=None,
        ge=0,
        description="A listening socket that the API process has inherited and serves instead of opening its own; "
        "`lethe up` sets it.",
        json_schema_extra=_documented("none"),
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Where clients reach the API, as it is written into registries that point to it.",
        json_schema_extra=_documented("`http://HOST:PORT`"),
    )
    database_url: str = Field(
        default_factory=_under_home("sqlite:///{home}/lethe.db"),
        description="SQLAlchemy URL of the database: `sqlite:///…` or `postgresql+psycopg://…`.",
        json_schema_extra=_documented("`lethe.db` in the home"),
    )
    redis_url: str = Field(
        default_factory=_embedded_redis_url,
        description="Redis for job hints. Unless given, `lethe up` runs an embedded server.",
        json_schema_extra=_documented("Unix socket in the home"),
    )
    blob_url: str = Field(
        default_factory=_under_home("file://{home}/blobs"),
        description="fsspec URL of the blob store: `file:///…` or `s3://bucket/prefix`.",
        json_schema_extra=_documented("`blobs` in the home"),
    )
    journal_url: str = Field(
        default_factory=lambda given: str(given.get("blob_url", "")),
        description="fsspec URL of the place of the erasure journal. Never restore it together with the database.",
        json_schema_extra=_documented("`LETHE_BLOB_URL`"),
    )
    master_key: SecretStr | None = Field(
        default=None,
        description="Key that seals dataset rows and secrets: 32 bytes in base64. Losing it loses the data.",
        json_schema_extra=_documented("`keys/master.key` in the home, made on first use"),
    )
    admin_key: SecretStr | None = Field(
        default=None,
        min_length=24,
        description="An API key with every scope that exists from the start, for automation.",
        json_schema_extra=_documented("made and printed once by `lethe up`"),
    )
    oidc_issuer: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Identity provider (OpenID Connect) whose tokens are accepted in place of API keys. One that is "
        "not public needs `LETHE_ALLOW_NETWORKS`.",
        json_schema_extra=_documented("none: API keys only"),
    )
    oidc_audience: str | None = Field(
        default=None,
        min_length=1,
        description="What its tokens name as their audience, which is this service and nothing else.",
        json_schema_extra=_documented("none"),
    )
    oidc_grants: Path | None = Field(
        default=None,
        description="File (JSON) of rules that say by the claims of a token what its holder may do.",
        json_schema_extra=_documented("none"),
    )
    oidc_client_id: str | None = Field(
        default=None,
        min_length=1,
        description="What this deployment is called at the provider, for people to sign in to the desk there. The "
        "provider sends them back to `/desk/sign-in/provider/callback`.",
        json_schema_extra=_documented("none: API keys at the desk"),
    )
    oidc_client_secret: SecretStr | None = Field(
        default=None, description="Its secret there.", json_schema_extra=_documented("none: a public client")
    )
    oidc_scope: str = Field(
        default="openid", description="What is asked for at sign-in, so that the claims of the rules are told."
    )
    rate_limit: int = Field(
        default=1200, ge=0, description="Calls a minute that a caller may make of each API process; 0: any number."
    )
    rate_limit_posts: int = Field(
        default=300, ge=0, description="Calls among them that create, plan or decide something (POST); 0: any number."
    )
    rate_limit_failures: int = Field(
        default=30,
        ge=0,
        description="Calls a minute with wrong keys or tokens that an address may make; 0: any number.",
    )
    rate_burst_s: int = Field(
        default=30, gt=0, description="For how many seconds' worth of calls may come at once after a pause."
    )
    max_streams: int = Field(
        default=16, gt=0, description="Event streams that a caller may hold open to each API process."
    )
    trusted_proxies: str = Field(
        default="",
        description="Proxies whose `X-Forwarded-For` is believed, addresses or networks separated by spaces.",
        json_schema_extra=_documented("none"),
    )
    max_upload_bytes: int = Field(
        default=2**30, gt=0, description="Largest dataset or adapter archive a client may upload."
    )
    dataset_uris: str = Field(
        default="",
        description="Places datasets may be read from by URI, separated by spaces (`s3://bucket/data file:///data`).",
        json_schema_extra=_documented("none: uploads only"),
    )
    serving_dir: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default_factory=lambda given: given["home"] / "serving" if "home" in given else Path("serving"),
        description="Directory that inference servers mount; the control process puts versions there.",
        json_schema_extra=_documented("`serving` in the home"),
    )
    serving_mounts: str = Field(
        default="",
        description="Directories below which servers may have it mounted, separated by spaces (`/adapters`).",
        json_schema_extra=_documented("`LETHE_SERVING_DIR`"),
    )
    mlflow_tracking_uri: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="MLflow server whose model registry shall mirror the lines; `http://user:password@host` if it "
        "asks for a password.",
        json_schema_extra=_documented("none: no mirror"),
    )
    mlflow_token: SecretStr | None = Field(
        default=None,
        description="Bearer token for that server.",
        json_schema_extra=_documented("none"),
    )
    opendsr_certificate: Path | None = Field(
        default=None,
        description="X.509 certificate (PEM, with its chain) of the domain under which OpenDSR controllers reach the "
        "API.",
        json_schema_extra=_documented("none: no OpenDSR"),
    )
    opendsr_key: Path | None = Field(
        default=None,
        description="Private key of that certificate (PEM), which signs acknowledgements and status callbacks.",
        json_schema_extra=_documented("none: no OpenDSR"),
    )
    time_zone: Zone = Field(
        default="UTC",
        description="Where the days of legal clocks are counted: a name of the IANA time zone database "
        "(`Europe/Berlin`).",
    )
    due_soon_days: int = Field(
        default=DUE_SOON.days,
        ge=0,
        le=60,
        description="How many days before its due date an open request raises an alarm.",
    )
    opendsr_callback_hosts: str = Field(
        default="",
        pattern=r"^[a-z0-9.: -]*$",
        description="Hosts that OpenDSR controllers may have status callbacks sent to, separated by spaces.",
        json_schema_extra=_documented("none: no callbacks"),
    )
    worker_pool: str = Field(
        default="default",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        description="Pool this worker serves, which is the name of its queue (`default`, `gpu-80g`, …).",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Where the engine computes: `auto` (CUDA if present), `cpu`, `cuda`, `cuda:1`, ….",
    )
    gpu_memory_fraction: float = Field(
        default=1.0, gt=0, le=1, description="Share of the GPU's memory the engine may take."
    )
    engine_memory_gib: float | None = Field(
        default=None,
        gt=0,
        description="GiB of main memory that the engine may take; beyond that it is ended, and the run tried again.",
        json_schema_extra=_documented("nine tenths of what there is"),
    )
    allow_hub: bool = Field(
        default=False,
        description="Whether base models named by Hub id may be downloaded. Local directories always work.",
    )
    allow_http: bool = Field(
        default=False,
        description="Whether webhooks, and an identity provider, may be reached by `http` too; `https` always works.",
    )
    allow_networks: Annotated[str, AfterValidator(_networks)] = Field(
        default="",
        description="Networks that are not public but that webhooks may be sent into, and the identity provider may "
        "be in, separated by spaces (`10.20.0.0/16 fd12:3456::/32`).",
        json_schema_extra=_documented("none: the public internet only"),
    )
    allow_ports: Annotated[str, AfterValidator(_ports)] = Field(
        default="80 443 1024-65535",
        description="Ports that webhooks may be sent to, separated by spaces.",
    )
    lease_s: float = Field(
        default=60, gt=0, description="How long a worker may be silent before its run is taken away."
    )
    heartbeat_s: float = Field(
        default=15, gt=0, description="How often a worker renews its lease; at most a third of the lease."
    )
    reconcile_s: float = Field(default=15, gt=0, description="Pause between two passes of the reconciler.")
    run_deadline_s: float = Field(default=21_600, gt=0, description="Longest time one attempt of a run may take.")
    stop_grace_s: float = Field(
        default=20, ge=0, description="Time a process gets to end cleanly before it is killed."
    )
    liveness_dir: Path | None = Field(
        default=None,
        description="Directory in which the loops of a process leave marks for `python -m service.liveness`.",
        json_schema_extra=_documented("none: no marks"),
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Lowest level of the log lines that are written."
    )

    @model_validator(mode="after")
    def _heartbeat_fits_the_lease(self) -> Self:
        if self.heartbeat_s > self.lease_s / 3:
            raise ValueError("heartbeat_s must be at most a third of lease_s, so that two beats may be lost")
        return self

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.opendsr_certificate is None) != (self.opendsr_key is None):
            raise ValueError("opendsr_certificate and opendsr_key go together")
        return self

    @model_validator(mode="after")
    def _provider_is_whole(self) -> Self:
        if len({value is None for value in (self.oidc_issuer, self.oidc_audience, self.oidc_grants)}) > 1:
            raise ValueError("oidc_issuer, oidc_audience and oidc_grants go together")
        if self.oidc_client_id is not None and self.oidc_issuer is None:
            raise ValueError("oidc_client_id needs oidc_issuer")
        return self

    @property
    def url(self) -> str:
        """Where clients reach the API, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def zone(self) -> ZoneInfo:
        """Where the days of legal clocks are counted."""
        return ZoneInfo(self.time_zone)

    @property
    def due_soon(self) -> timedelta:
        """How long before its due date an open request raises an alarm."""
        return timedelta(days=self.due_soon_days)

    @property
    def mounts(self) -> list[str]:
        """Where servers may have the directory of versions."""
        return self.serving_mounts.split() or [str(self.serving_dir)]

    @property
    def redis_is_embedded(self) -> bool:
        """Whether `lethe up` has to start a Redis server for this home."""
        return self.redis_url == _embedded_redis_url({"home": self.home})

    def environment(self) -> dict[str, str]:
        """The variables that give another process exactly these settings, secrets included."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            PREFIX + name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in values.items()
            if value is not None
        }


def settings_table() -> str:
    """The settings as a Markdown table, one row a variable."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        documented = extra.get("documented_default") if isinstance(extra, dict) else None
        default = documented if documented is not None else f"`{field.default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def with_settings_table(document: str) -> str:
    """A Markdown document with the table between its `settings` markers brought up to date.

    Raises:
        ValueError: the document lacks the markers.
    """
    begin, end = "<!-- settings:begin -->", "<!-- settings:end -->"
    before, found_begin, rest = document.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"the document has no {begin} … {end} section")
    return f"{before}{begin}\n{settings_table()}\n{end}{after}"
