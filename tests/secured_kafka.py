"""An embedded Kafka that lets in only who may: by password, by certificate, by token, all over TLS.

Its certificate authority is made here and lasts as long as the test. Beside its own listener, which
nobody else is told of, the broker has three:

    password  SASL_SSL with PLAIN and SCRAM-SHA-512
    mutual    SSL, for clients with a certificate of our authority
    token     SASL_SSL with OAUTHBEARER; a session lasts two seconds
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from trending_cli.embedded_kafka import EmbeddedKafka
from trending_cli.ports import HOST, free_ports

USER = "trending"
SESSION = 2_000  # ms, after which a broker wants a new token

PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:${{port}},CONTROLLER://127.0.0.1:${{controller_port}},{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:${{port}},{listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,\
PASSWORD:SASL_SSL,MUTUAL:SSL,TOKEN:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.mutual.ssl.client.auth=required
listener.name.password.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.password.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.password.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.token.oauthbearer.connections.max.reauth.ms={session}
listener.name.token.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
unsecuredLoginStringClaim_sub="broker";
"""


@dataclass(frozen=True, slots=True)
class SecuredKafka:
    """Where it listens, and what its clients need."""

    password_at: str
    mutual_at: str
    token_at: str
    password: str
    authority: Path
    """Who signed the broker's certificate, and the client's."""
    certificate: Path
    key: Path
    """The client's, encrypted with `password`."""
    embedded: EmbeddedKafka

    def by_password(self, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """What a client that has the password is told in its environment."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.password_at,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": self.password,
            "KAFKA_SSL_CAFILE": str(self.authority),
        }

    def by_certificate(self) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.mutual_at,
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CAFILE": str(self.authority),
            "KAFKA_SSL_CERTFILE": str(self.certificate),
            "KAFKA_SSL_KEYFILE": str(self.key),
            "KAFKA_SSL_KEY_PASSWORD": self.password,
        }

    def by_token(self) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.token_at,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "AWS_MSK_IAM",
            "KAFKA_SSL_CAFILE": str(self.authority),
            "AWS_REGION": "eu-central-1",
        }


@contextmanager
def secured_kafka(folder: Path, environ: Mapping[str, str]) -> Iterator[SecuredKafka]:
    """A broker below `folder` that runs meanwhile.

    Raises:
        KafkaUnavailable: Java or Maven is missing, or the broker didn't come up.
    """
    password = secrets.token_hex(16)
    authority, keystore = folder / "authority.pem", folder / "broker.pem"
    certificate, key = folder / "client.pem", folder / "client.key"
    signer = trustme.CA()
    signer.cert_pem.write_to_path(authority)
    broker, client = signer.issue_cert(HOST, "localhost"), signer.issue_cert("client.test")
    chain = b"".join(blob.bytes() for blob in broker.cert_chain_pems)
    keystore.write_bytes(_encoded(broker.private_key_pem.bytes()) + chain)
    certificate.write_bytes(b"".join(blob.bytes() for blob in client.cert_chain_pems))
    key.write_bytes(_encoded(client.private_key_pem.bytes(), password))

    places = dict(zip(("PASSWORD", "MUTUAL", "TOKEN"), free_ports(3), strict=True))
    properties = PROPERTIES.format(
        listeners=",".join(f"{name}://{HOST}:{port}" for name, port in places.items()),
        keystore=keystore,
        authority=authority,
        user=USER,
        password=password,
        session=SESSION,
    )
    with EmbeddedKafka(
        folder, properties=properties, users={USER: password}, environ=environ
    ) as embedded:
        yield SecuredKafka(
            password_at=f"{HOST}:{places['PASSWORD']}",
            mutual_at=f"{HOST}:{places['MUTUAL']}",
            token_at=f"{HOST}:{places['TOKEN']}",
            password=password,
            authority=authority,
            certificate=certificate,
            key=key,
            embedded=embedded,
        )


def _encoded(key: bytes, password: str | None = None) -> bytes:
    """A private key in the one form that Kafka reads."""
    loaded = load_pem_private_key(key, None)
    lock = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
