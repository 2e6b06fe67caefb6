"""Rules tried on what a test says or a store remembers: the real daemon in virtual time, with a made-up Dataphin."""
