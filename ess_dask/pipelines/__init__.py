"""The pipeline file, its plan and its run."""
