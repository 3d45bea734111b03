"""How Alembic reaches the database: the same engine settings as the application."""

from alembic import context

from service.store.database import Store
from service.store.tables import Base

store = Store(context.config.attributes["url"])
with store.engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
store.close()
