"""Checks of the validator that no vector can show, by the name that the mutation run gives them, with the reason."""

from __future__ import annotations

_RACE = "only a store that changes while it is validated, or that cannot be read, shows it; a vector is a store at rest"
_TOO_LARGE = "chunks of 2 GiB and more have another finding of the same statement: what is decoded has another size"

UNREACHABLE: dict[str, str] = {
    "structure.arrays.Expect._check_fill: type(array.fill) is not int (of an or)": (
        "-2 and -2.0 are one number to many JSON parsers, so no vector asks for the difference"
    ),
    "validation.files.ArrayFiles.load: self._findings.add('ZAR-15', key, 'the file is missing')": _RACE,
    "validation.files.ArrayFiles.load: self._findings.add('ZAR-15', key, 'the file cannot be read', "
    "found=error.found)": _RACE,
    "validation.hierarchy._read: findings.add(requirement, key, 'cannot be read', found=error.found)": _RACE,
    "validation.hierarchy._check_files: findings.add('ZAR-15', missing[_SHOWN - 1], "
    "f'the file is missing{several(n_missing - _SHOWN + 1)}')": (
        "counts further lost files of an array of which two have a finding of their own"
    ),
    "validation.metadata.check_root: findings.add('MAN-1', ROOT, "
    "f'{len(errors) - _LISTED} more members break the schema')": (
        "counts further errors beyond twenty that have a finding of their own"
    ),
    "validation.shard.ShardDecoder.decode: self._findings.add('ZAR-10', where, 'chunks larger than Blosc can hold', "
    "found=f'{self._chunk_bytes} bytes')": _TOO_LARGE,
    "validation.shard.ShardDecoder.decode: self._findings.add('ZAR-10', where, text, "
    "found=f'{self._chunk_bytes} bytes each')": _TOO_LARGE,
    "validation.shard.ShardDecoder._chunk: version != _FORMAT (of an or)": (
        "the library refuses a frame of another format, which is a finding of the same statement"
    ),
    "validation.counts.CountCheck.end_of: ends < 0 (of an or)": (
        "a negative end that 32 bits hide makes the sum of the ends another than n_entries: the same statement"
    ),
    "validation.counts.CountCheck._report_faults: CNT-5, a value of 2^53 or more": (
        "a value of 2^53 takes 1.4e11 entries, a store of hundreds of gigabytes"
    ),
}
