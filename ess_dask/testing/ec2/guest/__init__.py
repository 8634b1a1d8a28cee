"""What runs inside an instance: its first process, cloud-init, and commands that an AMI has."""
