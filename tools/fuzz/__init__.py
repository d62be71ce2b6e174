"""What damaged and hostile bytes do to this package: bits of stores flipped, everything that reads fuzzed."""
