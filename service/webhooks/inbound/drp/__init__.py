"""Data Rights Protocol 1.0: authorised agents ask in the name of people, with messages that they sign."""
