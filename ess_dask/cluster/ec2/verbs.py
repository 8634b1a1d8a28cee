"""The verbs of ``ess cluster`` for machines on EC2."""
