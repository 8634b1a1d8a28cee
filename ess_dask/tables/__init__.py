"""Memory of the cluster: databases, key-partitioned tables and vectors, and their versions."""
