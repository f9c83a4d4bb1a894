"""A rating may be one of more than 2³¹: PostgreSQL took such a title for broken."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite's integers have room for all
        op.alter_column("titles", "rating_count", type_=sa.BigInteger)
