"""What brings a gateway back whose catalogue is gone, and what notices what is missing before it is needed."""
