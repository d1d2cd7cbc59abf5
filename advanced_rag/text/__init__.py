"""From text to chunks; pure."""
