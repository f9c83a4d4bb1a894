"""Telling Amazon MSK who we are: by what AWS gave this process, not by a password.

MSK takes a signed address as the token of SASL's OAUTHBEARER. Only a process that is told
`KAFKA_SASL_MECHANISM=AWS_MSK_IAM` loads this module; the extra `msk` has what it needs.

aiokafka doesn't say again who it is while a connection lasts. A broker closes the connection when
the token's time is up, and the client opens another one with a new token.
"""

import asyncio
import time

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import SaslAuthenticationFailed

from trending_shared.errors import SettingInvalid

try:
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    from botocore.exceptions import BotoCoreError
except ModuleNotFoundError as missing:
    raise SettingInvalid(
        "KAFKA_SASL_MECHANISM: AWS_MSK_IAM needs the extra: pip install trending-shared[msk]"
    ) from missing

_STILL_GOOD = 600  # seconds that a token must have left of its 900 to be used for a new connection


class IamTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Signed with the credentials that AWS's SDK finds: variables, a profile, a task's role."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._token, self._ends = "", 0.0

    async def token(self) -> str:
        """A token with ten minutes left at least.

        Raises:
            SaslAuthenticationFailed: there are no credentials, or who has them doesn't answer.
        """
        if self._ends - time.time() < _STILL_GOOD:
            self._token, self._ends = await asyncio.to_thread(self._sign)
        return self._token

    def _sign(self) -> tuple[str, float]:
        try:
            token, ends = MSKAuthTokenProvider.generate_auth_token(self._region)
        except AttributeError as error:  # what the signer says where there are none
            raise SaslAuthenticationFailed(
                "no AWS credentials: AWS_ACCESS_KEY_ID, AWS_PROFILE or a role of the task"
            ) from error
        except (BotoCoreError, ValueError) as error:
            raise SaslAuthenticationFailed(f"AWS credentials: {error}") from error
        return token, ends / 1000
