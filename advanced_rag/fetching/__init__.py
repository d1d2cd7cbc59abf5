"""Documents by URL: fetched without letting a URL reach what it must not."""
