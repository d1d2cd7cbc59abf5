"""The verbs of the service: each a short function that puts the rooms below together."""
