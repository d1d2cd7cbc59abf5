"""HTTP: routes, schemas, errors."""
