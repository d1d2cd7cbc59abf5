"""Tokens of an identity provider: good ones are taken, all else is refused with a code that helps and no more."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from advanced_rag.auth.jwks import JwksKeys
from advanced_rag.auth.tokens import TokenVerifier, open_verifier
from advanced_rag.config import AuthSettings, JwtSettings
from advanced_rag.exceptions import CredentialsError, IdentityProviderError, StartupError
from tests.conftest import make_data_dir
from tests.support.live import LiveService

SECRET = "a secret of the identity provider"
JWT = {"issuer": "https://id.example.org", "audience": "rag", "leeway_s": 30}
SYMMETRIC = JwtSettings(**JWT, algorithms=["HS256"], secret=SECRET)


def claims(**changed) -> dict:
    moment = int(time.time())
    good = {
        "iss": "https://id.example.org",
        "aud": "rag",
        "sub": "ann",
        "tenant": "default",
        "roles": ["writer"],
        "groups": ["pumps"],
        "iat": moment,
        "exp": moment + 36_000,  # tokens below are made when tests are collected, perhaps long before they are used
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def token(**changed) -> str:
    return jwt.encode(claims(**changed), SECRET, "HS256")


@pytest.fixture(scope="module")
def service(tmp_path_factory, prepared_encoders: Path) -> Iterator[LiveService]:
    data_dir = make_data_dir(tmp_path_factory.mktemp("tokens") / "data", prepared_encoders)
    with LiveService(data_dir, auth=AuthSettings(mode="required", jwt=SYMMETRIC)) as live:
        yield live


def ask(service: LiveService, credentials: str, path: str = "/v1/auth/me") -> httpx2.Response:
    return service.request("GET", path, headers={"Authorization": f"Bearer {credentials}"})


def test_a_good_token_tells_tenant_user_groups_and_rights(service):
    me = ask(service, token(scope="metrics unknown:scope")).json()
    assert (me["tenant"], me["user_id"], me["groups"]) == ("default", "ann", ["pumps"])
    assert {"ingest", "metrics"} <= set(me["scopes"])
    assert "admin:keys" not in me["scopes"]
    assert ask(service, token(roles=None), "/v1/status").json()["error"]["code"] == "missing_scope"


def forged(header: dict, payload: dict, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


NOW = int(time.time())
WRONG = {
    "none": forged({"alg": "none"}, claims()),
    "nOnE": forged({"alg": "nOnE"}, claims()),
    "no signature": token().rpartition(".")[0] + ".",
    "another algorithm": jwt.encode(claims(), SECRET * 2, "HS512"),
    "another secret": jwt.encode(claims(), "b" * 32, "HS256"),
    "payload swapped": ".".join([token().split(".")[0], token(sub="ben").split(".")[1], token().split(".")[2]]),
    "extra dots": token() + ".x",
    "one megabyte": token(pad="x" * 1_000_000),
    "another audience": token(aud="other"),
    "another issuer": token(iss="https://staging.example.org"),
    "claims to be made here": jwt.encode(claims(iss="advanced-rag", aud="advanced-rag"), SECRET, "HS256"),
    "no audience": token(aud=None),
    "no issuer": token(iss=None),
    "no expiry": token(exp=None),
    "no user": token(sub=None),
    "no tenant": token(tenant=None),
    "empty tenant": token(tenant=""),
    "unknown tenant": token(tenant="nobody"),
    "tenant is a list": token(tenant=["default"]),
    "lives for ever": token(exp=99_999_999_999),
    "expiry beyond numbers": token(exp=10**30),
    "expiry is text": forged({"alg": "HS256"}, claims(exp="soon")),
    "critical header": jwt.encode(claims(), SECRET, "HS256", headers={"crit": ["x"], "x": 1}),
    "nested": jwt.encode(claims(), SECRET, "HS256") * 2,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_a_good_token_is_refused_and_learns_nothing(service, name):
    answer = ask(service, WRONG[name])
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_credentials")
    assert len(answer.content) < 400


def test_clocks_may_differ_by_the_leeway_and_no_more(service):
    moment = int(time.time())
    assert ask(service, token(exp=moment - 20)).status_code == 200
    assert ask(service, token(nbf=moment + 20)).status_code == 200
    assert ask(service, token(exp=moment - 40)).json()["error"]["code"] == "expired_credentials"
    assert ask(service, token(nbf=moment + 40)).json()["error"]["code"] == "premature_credentials"
    assert ask(service, token(iat=moment + 40, exp=moment + 400)).json()["error"]["code"] == "premature_credentials"


def test_a_tenant_that_is_switched_off_is_refused_although_its_tokens_are_good(service):
    operator = service.key(role="operator")
    service.request("POST", "/v1/tenants", headers=operator, json={"name": "Leavers"})
    assert ask(service, token(tenant="Leavers")).status_code == 200
    service.request("PATCH", "/v1/tenants/Leavers", headers=operator, json={"is_active": False})
    service.container.identities.tenants._known.clear()
    assert ask(service, token(tenant="Leavers")).json()["error"]["code"] == "tenant_disabled"


RSA, EC = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())


def public(key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256")])
def test_a_public_key_checks_its_own_signatures_and_is_no_secret(tmp_path, key, algorithm):
    path = tmp_path / "key.pem"
    path.write_bytes(public(key))
    verifier = open_verifier(JwtSettings(**JWT, public_key_file=path))
    assert asyncio.run(verifier.verify(jwt.encode(claims(), key, algorithm))).user_id == "ann"
    header, body, _ = jwt.encode(claims(), "x" * 32, "HS256").split(".")
    signature = jwt.get_algorithm_by_name("HS256").sign(f"{header}.{body}".encode(), public(key))
    confused = f"{header}.{body}." + base64.urlsafe_b64encode(signature).decode().rstrip("=")
    with pytest.raises(CredentialsError):
        asyncio.run(verifier.verify(confused))


@pytest.mark.parametrize(
    "wrong",
    [
        {"audience": None, "jwks_url": "https://x"},
        {},
        {"secret": SECRET, "jwks_url": "https://x"},
        {"secret": SECRET},
        {"secret": SECRET, "algorithms": ["HS256", "RS256"]},
        {"algorithms": ["HS256"], "jwks_url": "https://x"},
        {"public_key_file": Path("/nowhere.pem")},
    ],
)
def test_settings_that_do_not_fit_together_stop_the_start(wrong):
    with pytest.raises(StartupError, match=r"auth\.jwt"):
        open_verifier(JwtSettings(**{**JWT, **wrong}))


class Provider:
    """An identity provider whose keys rotate, and which may be down."""

    def __init__(self) -> None:
        self.keys: dict[str, object] = {"one": RSA}
        self.asked = 0
        self.is_down = False

    def __call__(self, _request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if self.is_down:
            raise httpx2.ConnectError("down")
        keys = [
            {**json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(key.public_key())), "kid": kid, "alg": "RS256"}
            for kid, key in self.keys.items()
        ]
        return httpx2.Response(200, json={"keys": keys})


@pytest.fixture
def provider() -> Provider:
    return Provider()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verify(provider, clock):
    keys = JwksKeys("https://id.example.org/keys", clock=clock, transport=httpx2.MockTransport(provider))
    verifier = TokenVerifier(JwtSettings(**JWT, jwks_url="https://id.example.org/keys"), keys)

    async def run(key, kid: str | None) -> str:
        headers = {"kid": kid} if kid is not None else {}
        return (await verifier.verify(jwt.encode(claims(), key, "RS256", headers=headers))).user_id

    return run


def test_the_providers_keys_are_asked_for_once_and_a_thousand_unknown_ones_ask_no_more(provider, verify):
    async def flood() -> None:
        assert await verify(RSA, "one") == "ann"
        for n in range(1000):
            with pytest.raises(CredentialsError):
                await verify(RSA, f"unknown-{n}")
        await asyncio.gather(*(verify(RSA, "one") for _ in range(50)))

    asyncio.run(flood())
    assert provider.asked == 1


def test_a_rotated_key_is_found_and_the_old_one_forgotten(provider, verify, clock):
    new = rsa.generate_private_key(65537, 2048)

    async def rotate() -> None:
        await verify(RSA, "one")
        provider.keys["two"] = new
        clock.now += 31
        assert await verify(new, "two") == "ann"
        assert await verify(RSA, "one") == "ann"
        del provider.keys["one"]
        clock.now += 301
        with pytest.raises(CredentialsError):
            await verify(RSA, "one")

    asyncio.run(rotate())


def test_known_keys_go_on_while_the_provider_is_down(provider, verify, clock):
    async def outage() -> None:
        provider.is_down = True
        with pytest.raises(IdentityProviderError):
            await verify(RSA, "one")
        provider.is_down = False
        clock.now += 31
        assert await verify(RSA, "one") == "ann"
        provider.is_down = True
        clock.now += 3600
        assert await verify(RSA, "one") == "ann"

    asyncio.run(outage())


@pytest.mark.parametrize("kid", [None, "", "../../etc/passwd\n", "x" * 300, "unknown"])
def test_a_key_id_that_is_none_is_refused(verify, kid):
    with pytest.raises(CredentialsError):
        asyncio.run(verify(RSA, kid))


def test_the_secret_does_not_show():
    assert SECRET not in repr(AuthSettings(jwt=JwtSettings(secret=SecretStr(SECRET))))
