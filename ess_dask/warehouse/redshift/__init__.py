"""Amazon Redshift: staged parts in S3, COPY by manifest, ledger and rejects in one transaction."""
