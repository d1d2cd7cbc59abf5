"""From a file to text with structure. Everything but ``pool`` runs in the limited processes that ``pool`` starts."""
