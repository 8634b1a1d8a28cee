"""Stands where a segment's writer stands, and keeps what it is given."""


class Written:
    """Takes what a merger writes; ``close`` gives the tables."""

    def __init__(self):
        self.tables = []

    def add(self, table):
        self.tables.append(table)

    def close(self):
        return self.tables

    def abort(self):
        pass
