"""The tests' own PostgreSQL server."""

import pytest
import sqlalchemy


@pytest.mark.postgres
def test_every_test_gets_a_database_of_its_own(postgres_url: str) -> None:
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE here (id int)"))
        assert (
            connection.execute(sqlalchemy.text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).scalar()
            == 1
        )
    engine.dispose()


test_and_so_does_the_next = test_every_test_gets_a_database_of_its_own
