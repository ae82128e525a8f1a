"""txgateway: S3 in front, any storage behind."""

__version__ = "0.1.0"
