"""What tests of the trainer share."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from trending_shared.encoder import SentenceEncoder


@pytest.fixture(scope="session")
def encoder(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    return SentenceEncoder.load(tmp_path_factory.mktemp("encoder"), threads=2).encode
