"""Makes the conformance kit of ``spec/conformance/``: see ``spec/conformance/README.md``."""
