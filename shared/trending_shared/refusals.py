"""Why Kafka doesn't let us in, in words that name the setting to change.

aiokafka's clients log why a connection didn't come about, and say only that there is none.
"""

import ssl
from collections.abc import Mapping
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from aiokafka.protocol.metadata import MetadataRequest

from trending_shared.errors import BrokerUnavailable, SettingInvalid

_PATIENCE = 5_000  # ms
_OPTIONS = (
    "security_protocol",
    "ssl_context",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
    "sasl_oauth_token_provider",
)  # of `KafkaSettings.connection`, those that a single connection takes


async def explain_refusal(kafka: Mapping[str, Any]) -> None:
    """Ask the servers once more after a client couldn't start, and raise what they say.

    Args:
        kafka: connection options as aiokafka takes them (`KafkaSettings.connection`).

    Raises:
        SettingInvalid: a server answers, and will go on refusing what we were told to say.
        BrokerUnavailable: a server hangs up; it is just coming up or going down, or speaks
            otherwise than we were told to.
    """
    options = {name: kafka[name] for name in _OPTIONS if name in kafka}
    for host, port, _ in collect_hosts(kafka["bootstrap_servers"]):
        at = f"Kafka at {host}:{port}"
        try:
            connection = await create_conn(host, port, request_timeout_ms=_PATIENCE, **options)
            try:
                # A token that is refused shows only here: aiokafka doesn't read what is said to it.
                if not (await connection.send(MetadataRequest([]))).brokers:
                    raise SaslAuthenticationFailed("it doesn't take our token")
            finally:
                connection.close()
        except SaslAuthenticationFailed as error:
            said = error.args[0] if error.args else ""
            raise SettingInvalid(f"{_who(kafka)}: {at} doesn't let us in: {said}") from error
        except UnsupportedSaslMechanismError as error:
            raise SettingInvalid(
                f"KAFKA_SASL_MECHANISM: {at} doesn't take {kafka['sasl_mechanism']}"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise SettingInvalid(
                f"KAFKA_SSL_CAFILE, KAFKA_BOOTSTRAP_SERVERS: the certificate of {at} "
                f"isn't to be trusted: {error.verify_message}"
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            cause = error if isinstance(error, ssl.SSLError) else error.__cause__
            if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
                raise SettingInvalid(
                    f"KAFKA_SSL_CERTFILE: {at} doesn't take our certificate: {cause.reason}"
                ) from error
            if isinstance(error, KafkaError | ssl.SSLError | ConnectionResetError):
                raise BrokerUnavailable(
                    f"{at} hangs up; is KAFKA_SECURITY_PROTOCOL={kafka['security_protocol']} right?"
                ) from error


def _who(kafka: Mapping[str, Any]) -> str:
    if kafka["sasl_mechanism"] == "OAUTHBEARER":
        return "KAFKA_SASL_MECHANISM=AWS_MSK_IAM"
    return "KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD"
