"""What keeps a slow or broken dependency from spreading."""
