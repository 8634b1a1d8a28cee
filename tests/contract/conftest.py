"""A client of the warehouse under test, for all that ask it, and one connection."""

import pytest


@pytest.fixture
def client(warehouse_client):
    return warehouse_client


@pytest.fixture
def con(client):
    return client.connect()
