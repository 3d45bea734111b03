"""What the service answers. Members that this client does not know are ignored, unknown states are not final."""
