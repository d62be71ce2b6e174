"""A proof by twenty appends; see README.md."""
