"""The machines: the local daemon, its certificates and its life cycle."""
