"""Tokens for Amazon MSK, held against the signature that AWS would compute."""

import base64
import os
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from aiokafka.errors import SaslAuthenticationFailed
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from trending_shared.errors import SettingInvalid
from trending_shared.msk import IamTokens
from trending_shared.settings import KafkaSettings, read_settings

KEY, SECRET, SESSION = "AKIDEXAMPLE", "an example of a secret", "an example of a session"


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "AWS_MSK_IAM")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    return read_settings(KafkaSettings)


async def test_a_token_is_an_address_signed_with_the_credentials_of_the_environment(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION)
    token = await kafka.connection["sasl_oauth_token_provider"].token()
    address = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    found = dict(parse_qsl(urlsplit(address).query))
    assert urlsplit(address).netloc == "kafka.eu-central-1.amazonaws.com"
    assert found["Action"] == "kafka-cluster:Connect"
    assert found["X-Amz-Expires"] == "900"
    assert found["X-Amz-Security-Token"] == SESSION
    assert "eu-central-1/kafka-cluster/aws4_request" in found["X-Amz-Credential"]
    signed_at = datetime.strptime(found["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - signed_at).total_seconds()) < 600
    assert found["X-Amz-Signature"] == signature(address, found)


def signature(address: str, found: dict[str, str]) -> str:
    """What AWS computes from a request without its signature, who signed it and when."""
    credentials = Credentials(KEY, SECRET, SESSION)
    signer = SigV4QueryAuth(credentials, "kafka-cluster", "eu-central-1", expires=900)
    # The name of the library that signs is added afterwards, and isn't part of what is signed.
    signed = {
        name: value
        for name, value in found.items()
        if name not in {"X-Amz-Signature", "User-Agent"}
    }
    query = urlencode(sorted(signed.items()), quote_via=quote, safe="-_.~")
    request = AWSRequest("GET", f"https://{urlsplit(address).netloc}/?{query}")
    request.context["timestamp"] = found["X-Amz-Date"]
    canonical = signer.canonical_request(request)
    return str(signer.signature(signer.string_to_sign(request, canonical), request))


async def test_a_token_serves_for_many_connections(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    tokens = IamTokens("eu-central-1")
    assert await tokens.token() is await tokens.token()


async def test_without_credentials_it_is_said_which_there_could_be(kafka: KafkaSettings) -> None:
    with pytest.raises(SaslAuthenticationFailed, match="AWS_ACCESS_KEY_ID"):
        await IamTokens("eu-central-1").token()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"AWS_REGION": ""}, "AWS_REGION"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "KAFKA_SECURITY_PROTOCOL"),
    ],
)
def test_what_it_lacks_is_named(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], named: str
) -> None:
    for name, value in changes.items():
        monkeypatch.setitem(os.environ, name, value)
    with pytest.raises(SettingInvalid, match=f"^{named}:"):
        read_settings(KafkaSettings)
