"""What a guest tells its machine by the way it ends."""

REBOOT = 64
"""The exit status of a guest that wants to be started again; 0: it is off."""
