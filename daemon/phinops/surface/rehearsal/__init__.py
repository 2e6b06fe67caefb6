"""A day of a made-up tenant against the real engine, in virtual time."""
