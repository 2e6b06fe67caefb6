"""phinops: an event-driven operations daemon for Alibaba Cloud Dataphin."""

__version__ = "0.1.0"
