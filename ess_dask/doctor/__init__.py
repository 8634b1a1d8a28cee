"""What is needed around a pipeline, looked at piece by piece: ``ess doctor``."""
