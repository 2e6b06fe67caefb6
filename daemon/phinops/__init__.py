"""phinops looks after a tenant of Alibaba Cloud Dataphin: it sees what changes, and does what your rules say."""

__version__ = "0.1.0"
