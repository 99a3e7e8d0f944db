"""From data to a verified bundle: the room that runs a whole domain, or a lone model."""
