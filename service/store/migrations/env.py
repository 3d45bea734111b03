"""How Alembic reaches the database: the same engine settings as the application."""

from alembic import context

from service.store.database import Store
from service.store.tables import Base

store = Store(context.config.attributes["url"])
with store.engine.connect() as connection:
    if connection.dialect.name == "sqlite":
        # A table that others refer to can only be made anew without their watching (sqlite.org/lang_altertable.html).
        # It cannot be said within a transaction, and is forgotten with the connection.
        connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()
        if connection.dialect.name == "sqlite":
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            assert not broken, "a migration left rows that refer to nothing"
    connection.commit()
store.close()
