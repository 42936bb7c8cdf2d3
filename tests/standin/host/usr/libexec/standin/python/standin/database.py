"""A service's own database: objects by kind and id, as JSON, in the one that its `connection` names."""

import json
import re

import pymysql

from .configuration import Wrong

TABLE = "CREATE TABLE IF NOT EXISTS standin (kind VARCHAR(64), id VARCHAR(255), body LONGTEXT, PRIMARY KEY (kind, id))"


def place(url):
    """User, password, address, port and database of a `connection`."""
    found = re.match(r"mysql\+pymysql://([^:/@]+):([^@]*)@([^:/]+)(?::(\d+))?/(\w+)(?:\?.*)?$", url)
    if not found:
        raise Wrong(f"`{re.sub(r':[^:@]*@', ':***@', url)}` is not mysql+pymysql://user:password@host/database")
    user, password, host, port, name = found.groups()
    return dict(user=user, password=password, host=host, port=int(port or 3306), database=name)


class Database:
    """One connection. Every method is a transaction."""

    def __init__(self, url):
        try:
            self.link = pymysql.connect(**place(url), autocommit=True, connect_timeout=10, charset="utf8")
        except pymysql.err.MySQLError as error:
            raise Wrong(f"(pymysql.err.{type(error).__name__}) {error.args}") from None

    def close(self):
        self.link.close()

    def run(self, statement, *values):
        with self.link.cursor() as cursor:
            try:
                cursor.execute(statement, values)
            except pymysql.err.MySQLError as error:
                raise Wrong(f"(pymysql.err.{type(error).__name__}) {error.args}") from None
            return cursor.fetchall()

    def migrate(self, *statements):
        """What `db sync` leaves: the table of objects, and views of it that look like the true tables."""
        for statement in (TABLE, *statements):
            self.run(statement)

    def migrated(self):
        """A service that finds no schema does not work."""
        if not self.run("SHOW TABLES LIKE 'standin'"):
            raise Wrong("(pymysql.err.ProgrammingError) (1146, \"Table doesn't exist\"): the database was never brought up to date")

    def all(self, kind):
        return [json.loads(body) for (body,) in self.run("SELECT body FROM standin WHERE kind = %s ORDER BY id", kind)]

    def get(self, kind, key):
        rows = self.run("SELECT body FROM standin WHERE kind = %s AND id = %s", kind, key)
        return json.loads(rows[0][0]) if rows else None

    def put(self, kind, body):
        self.run("REPLACE INTO standin VALUES (%s, %s, %s)", kind, body["id"], json.dumps(body))
        return body

    def delete(self, kind, key):
        self.run("DELETE FROM standin WHERE kind = %s AND id = %s", kind, key)


def view(name, kind, **columns):
    """A statement for a view of the objects of a kind; columns are paths in their JSON, or statements in parentheses."""
    parts = [f"{at if at[0] == '(' else f'JSON_VALUE(body, {at!r})'} AS `{column}`" for column, at in columns.items()]
    return f"CREATE OR REPLACE VIEW `{name}` AS SELECT {', '.join(parts)} FROM standin WHERE kind = '{kind}'"
