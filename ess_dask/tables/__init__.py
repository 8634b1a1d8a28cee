"""Memory of the cluster: databases, tables, vectors, variables; partition, merge, version."""
