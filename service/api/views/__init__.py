"""From rows to the JSON of the API."""
