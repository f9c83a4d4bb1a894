"""Migrations of the catalog: what its tables were, and how they came to be what they are.

A file in `versions/` each, in a row. They only add: a table, an index, a column that may be empty
or has a default of the database's. So a service of the release before works on with a catalog that
was migrated already, as it must while services are replaced one by one; and there is no way down.
"""

from pathlib import Path

import sqlalchemy as sa
import structlog

log = structlog.get_logger()

FOLDER = Path(__file__).parent
LOCK = 0x7472656E64  # of PostgreSQL's advisory locks; any number that nobody else takes

# Alembic is imported where it is used: half of our processes have a catalog and migrate none.


def newest() -> str:
    """The revision that this code was written for."""
    from alembic.script import ScriptDirectory

    return str(ScriptDirectory(str(FOLDER)).get_current_head())


def revision(connection: sa.Connection) -> str | None:
    """The revision of a catalog; none if it is empty, or older than migrations are."""
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def migrate(connection: sa.Connection) -> None:
    """Bring a catalog to the newest revision, in the transaction that is open.

    Of several that try at once, one does it; the others wait, and find nothing left to do. A
    catalog of a later release is left as it is.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(FOLDER))
    target = script.get_current_head()
    if revision(connection) == target:
        return
    if connection.dialect.name == "postgresql":  # of SQLite one can be writing anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    before = revision(connection)
    if before == target:
        return
    if before not in {None, *(one.revision for one in script.walk_revisions())}:
        log.info("catalog_is_newer", revision=before, ours=target)
        return
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    command.upgrade(config, "head")
    log.info("catalog_migrated", before=before, revision=target)
