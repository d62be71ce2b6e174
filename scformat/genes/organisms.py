"""Organisms: their names, and the prefixes by which their gene ids are known.

A store names an organism by its NCBI taxon, an integer; 0 stands for "unknown".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from scformat.errors import UsageError, unknown_name

UNKNOWN = 0
"""Taxon of a gene whose organism is not known."""

SPIKE_INS = 32630
"""Taxon "synthetic construct": ERCC spike-ins."""


@dataclass(frozen=True, kw_only=True)
class Organism:
    """One organism.

    Attributes
    ----------
    taxon
        NCBI taxon.
    name
        Scientific name.
    common
        Common names, lower case.
    prefix, digits
        Its gene ids are `prefix` and then `digits` digits; "" and 0 where they have another form.
    """

    taxon: int
    name: str
    common: tuple[str, ...]
    prefix: str
    digits: int


def _organism(taxon: int, name: str, common: str, prefix: str = "", digits: int = 11) -> Organism:
    digits = digits if prefix else 0
    return Organism(taxon=taxon, name=name, common=tuple(common.split("|")), prefix=prefix, digits=digits)


_KNOWN = (
    _organism(9606, "Homo sapiens", "human", "ENSG"),
    _organism(10090, "Mus musculus", "mouse|house mouse", "ENSMUSG"),
    _organism(10116, "Rattus norvegicus", "rat|norway rat", "ENSRNOG"),
    _organism(7955, "Danio rerio", "zebrafish", "ENSDARG"),
    _organism(7227, "Drosophila melanogaster", "fruit fly|fruitfly|fly|drosophila", "FBgn", 7),
    _organism(6239, "Caenorhabditis elegans", "roundworm|nematode|worm|c. elegans", "WBGene", 8),
    _organism(9544, "Macaca mulatta", "rhesus macaque|rhesus monkey|rhesus", "ENSMMUG"),
    _organism(9541, "Macaca fascicularis", "crab-eating macaque|cynomolgus macaque|cynomolgus", "ENSMFAG"),
    _organism(9483, "Callithrix jacchus", "marmoset|common marmoset", "ENSCJAG"),
    _organism(9598, "Pan troglodytes", "chimpanzee|chimp", "ENSPTRG"),
    _organism(9595, "Gorilla gorilla gorilla", "gorilla|gorilla gorilla|western lowland gorilla", "ENSGGOG"),
    _organism(30608, "Microcebus murinus", "mouse lemur|gray mouse lemur|grey mouse lemur", "ENSMICG"),
    _organism(9986, "Oryctolagus cuniculus", "rabbit", "ENSOCUG"),
    _organism(9823, "Sus scrofa", "pig|swine", "ENSSSCG"),
    _organism(9913, "Bos taurus", "cow|cattle|bovine", "ENSBTAG"),
    _organism(9940, "Ovis aries", "sheep", "ENSOARG"),
    _organism(9796, "Equus caballus", "horse", "ENSECAG"),
    _organism(9615, "Canis lupus familiaris", "dog|domestic dog|canis familiaris", "ENSCAFG"),
    _organism(9685, "Felis catus", "cat|domestic cat", "ENSFCAG"),
    _organism(9669, "Mustela putorius furo", "ferret|domestic ferret", "ENSMPUG"),
    _organism(10141, "Cavia porcellus", "guinea pig", "ENSCPOG"),
    _organism(10036, "Mesocricetus auratus", "golden hamster|syrian hamster", "ENSMAUG"),
    _organism(13616, "Monodelphis domestica", "opossum|gray short-tailed opossum", "ENSMODG"),
    _organism(9031, "Gallus gallus", "chicken", "ENSGALG"),
    _organism(8364, "Xenopus tropicalis", "western clawed frog|tropical clawed frog", "ENSXETG"),
    _organism(4932, "Saccharomyces cerevisiae", "yeast|baker's yeast"),
    _organism(3702, "Arabidopsis thaliana", "thale cress|arabidopsis"),
    _organism(2697049, "Severe acute respiratory syndrome coronavirus 2", "sars-cov-2", "ENSSASG"),
    _organism(SPIKE_INS, "synthetic construct", "ercc|spike-in", "ERCC-", 5),
)

ORGANISMS: dict[int, Organism] = {organism.taxon: organism for organism in _KNOWN}
"""Organisms by taxon."""

_BY_PREFIX = {organism.prefix: organism for organism in _KNOWN if organism.prefix}
_ID = re.compile(r"([A-Za-z]+-?)([0-9]{5,11})(?:\.[0-9]+)?(_PAR_Y)?")
_ENSEMBL_PREFIX = re.compile(r"ENS[A-Z]{3,4}G")


def parse_gene_id(name: str) -> tuple[str, int] | None:
    """Read a name as a gene id.

    Parameters
    ----------
    name
        Any text.

    Returns
    -------
    tuple of str and int, or None
        The id without its version and its organism's taxon (0 for an Ensembl id whose prefix the table does not
        know); None where `name` has no such form. ``ENSG00000002586.20_PAR_Y``, GENCODE's name until release 43
        for the copy on chromosome Y, gives ``ENSG00000002586_PAR_Y``: it is another gene than the one on X.
    """
    match = _ID.fullmatch(name)
    if match is None:
        return None
    prefix, digits, par = match.groups()
    organism = _BY_PREFIX.get(prefix)
    if organism is None:
        # An Ensembl id of an organism that the table does not name: its taxon is unknown, its id is good.
        if len(digits) != 11 or _ENSEMBL_PREFIX.fullmatch(prefix) is None:
            return None
        return prefix + digits + (par or ""), UNKNOWN
    if len(digits) != organism.digits:
        return None
    return prefix + digits + (par or ""), organism.taxon


def organism_name(taxon: int) -> str:
    """Scientific name of a taxon; ``"unknown"`` for 0, ``"NCBITaxon:<taxon>"`` where the table has none."""
    if taxon == UNKNOWN:
        return "unknown"
    return ORGANISMS[taxon].name if taxon in ORGANISMS else f"NCBITaxon:{taxon}"


def organism_taxon(text: str) -> int:
    """Taxon of an organism as a person writes it.

    Parameters
    ----------
    text
        A scientific or common name in any case ("Homo sapiens", "human"), a taxon ("9606") or a term id
        ("NCBITaxon:9606"). Any taxon above 0 is taken, also one that the table does not name.

    Raises
    ------
    UnknownNameError
        Code ``unknown-organism``; near names are listed.
    """
    plain = " ".join(text.replace("_", " ").split()).lower()
    number = plain.removeprefix("ncbitaxon:")
    if number.isascii() and number.isdigit():
        taxon = int(number)
        if not 0 < taxon < 2**31:
            raise UsageError("bad-organism", f"{text!r} is no taxon", expected="a whole number above 0")
        return taxon
    names = {name: organism.taxon for organism in _KNOWN for name in (organism.name.lower(), *organism.common)}
    if plain not in names:
        raise unknown_name("organism", text, [*names])
    return names[plain]
