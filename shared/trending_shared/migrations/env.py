"""Run by Alembic, which doesn't import but execute it: the connection is handed in."""

from alembic import context

from trending_shared.catalog import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
