"""One SQL engine: a part of a statement runs on every partition, a part merges once."""
