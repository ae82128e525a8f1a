"""How twistd finds the gateway. (No ``__init__.py`` here or above: the folder is Twisted's.)"""

from twisted.application.service import ServiceMaker

gateway = ServiceMaker("txgateway", "gateway.tap", "An S3 gateway to any storage that a plugin knows.", "gateway")
