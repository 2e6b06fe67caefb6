"""What we send is what the official SDK sends, for every API whose parameters the catalog has in full."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from zoneinfo import ZoneInfo

from alibabacloud_dataphin_public20230630 import models
from alibabacloud_dataphin_public20230630.client import Client as SdkClient
from alibabacloud_tea_openapi.utils_models._config import Config
from darabonba.runtime import RuntimeOptions

from counting import MemoryLedger
from loopback import Got, Loopback, ok, serving
from phinops.catalog.catalog import ApiSpec, Parameter, load_catalog
from phinops.catalog.quotas import QuotaPlan
from phinops.clock import SystemClock
from phinops.execute.limit import Limiter, Priority
from phinops.execute.send import Client, Endpoint
from phinops.execute.sign import KeyPair, Stamp, Unsigned, acs3_authorization, canonical_query, rpc_v1

SHANGHAI = ZoneInfo("Asia/Shanghai")
KEY = KeyPair("testAccessKeyId", "testAccessKeySecret")
AWKWARD = "日报 a+b&c=d~*%/'\"\\é"


class OneKey:
    def read(self) -> tuple[str, str]:
        return KEY.id, KEY.secret

    write = read


def comparable(spec: ApiSpec) -> bool:
    """Described in full. A boolean of the query is left out: the Python SDK writes it as Python does, True."""
    scalars = all(each.type in ("string", "integer") for each in spec.parameters)
    return spec.detailed or (scalars and spec.level is not None)


def sample(parameter: Parameter) -> object:
    if parameter.children:
        inside = {child.name: sample(child) for child in parameter.children}
        return [inside, inside] if parameter.type == "array<object>" else inside
    match parameter.type:
        case "integer" | "number":
            return 9_007_199_254_740_993 if parameter.name.endswith("Id") else 3
        case "boolean":
            return False
        case "string":
            return parameter.enum[0] if parameter.enum else AWKWARD
        case "array<string>":
            return [AWKWARD, "b"]
        case "array<integer>":
            return [1, 2]
        case _:
            raise AssertionError(f"{parameter.name} of type {parameter.type} is not described")


def params_of(spec: ApiSpec) -> dict[str, object]:
    return {each.name: sample(each) for each in spec.parameters}


SPECS = [spec for spec in load_catalog() if comparable(spec)]


def sdk_calls(server: Loopback, algorithm: str, specs: list[ApiSpec]) -> None:
    """Let the SDK call each API, in a thread of its own."""
    config = Config(
        access_key_id=KEY.id,
        access_key_secret=KEY.secret,
        endpoint=server.url.removeprefix("http://"),
        protocol="HTTP",
        signature_algorithm=algorithm,
    )
    client = SdkClient(config)
    for spec in specs:
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", spec.name).lower()
        request = getattr(models, f"{spec.name}Request")().from_map(params_of(spec))
        getattr(client, f"{snake}_with_options")(request, RuntimeOptions())


async def captured(algorithm: str, specs: list[ApiSpec]) -> list[Got]:
    async with serving(lambda got: ok()) as server:
        await asyncio.to_thread(sdk_calls, server, algorithm, specs)
    return server.got


def test_there_is_enough_to_compare() -> None:
    assert len([spec for spec in SPECS if spec.detailed]) >= 25


async def test_our_requests_equal_those_of_the_sdk() -> None:
    theirs = await captured("ACS3-HMAC-SHA256", SPECS)
    limiter = Limiter("a", QuotaPlan({}, {}), MemoryLedger(), SystemClock(), timeout=5, zone=SHANGHAI)
    async with serving(lambda got: ok()) as server:
        endpoint = Endpoint(url=server.url, op_tenant_id=1, edition="private", timeout_s=5)
        async with Client(endpoint, OneKey(), limiter, load_catalog(), SystemClock()) as client:
            for spec in SPECS:
                await call(client, spec)
    for ours, sdk in zip(server.got, theirs, strict=True):
        # As text the SDK writes a space as + and signs it as %20; we send what was signed.
        assert (ours.api, ours.method, ours.query) == (sdk.api, sdk.method, sdk.query)
        assert ours.form == sdk.form
        assert ours.body == sdk.body
        same = ("content-type", "x-acs-version", "x-acs-content-sha256", "accept")
        assert [ours.headers.get(name) for name in same] == [sdk.headers.get(name) for name in same]
        check_signature(sdk)
        check_signature(ours)


async def call(client: Client, spec: ApiSpec) -> None:
    async def prepare() -> dict[str, object]:
        return params_of(spec)

    if spec.reads:
        await client.read(spec.name, params_of(spec), priority=Priority.OPERATOR)
    else:
        await client.write(spec.name, prepare)


def check_signature(got: Got) -> None:
    """The signature equals ours over the same headers."""
    names = got.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    headers = {name: got.headers[name] for name in names}
    assert acs3_authorization(canonical_query(got.query), headers, KEY) == got.headers["authorization"]


async def test_the_older_signature_equals_that_of_the_sdk() -> None:
    specs = [spec for spec in SPECS if spec.detailed]
    for spec, sdk in zip(specs, await captured("v2", specs), strict=True):
        query = dict(sdk.query)
        stamp = Stamp(datetime.fromisoformat(query.pop("Timestamp")), query.pop("SignatureNonce"))
        own = {"Action", "Version", "Format", "SignatureMethod", "SignatureVersion", "AccessKeyId", "Signature"}
        asked = {name: value for name, value in query.items() if name not in own}
        signed = rpc_v1(Unsigned(spec.name, sdk.headers["host"], asked, sdk.form), KEY, stamp)
        [signature] = re.findall("Signature=([^&]+)", signed.query)
        assert signature.replace("%3D", "=").replace("%2F", "/").replace("%2B", "+") == query["Signature"]
        assert signed.body == sdk.body
