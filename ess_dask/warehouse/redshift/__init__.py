"""Amazon Redshift as a warehouse: addresses and credentials, types and DDL, COPY, ledger."""
