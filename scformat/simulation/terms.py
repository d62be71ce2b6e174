"""The ontology terms that simulated cells carry, with what a cell type's profile is built from.

Every term is a real one with its canonical name; a test compares them with the ontologies themselves.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """An ontology term: its id and its canonical name."""

    id: str
    name: str


@dataclass(frozen=True)
class CellType:
    """A Cell Ontology term and what the simulation makes of it.

    Attributes
    ----------
    id, name
        The term.
    lineage
        Types of one lineage share most of their expression program.
    home
        Name of the only tissue it occurs in; empty where it occurs in every tissue.
    markers
        Symbols of genes that are strongly raised in it.
    """

    id: str
    name: str
    lineage: str
    home: str
    markers: tuple[str, ...]


def _type(lineage: str, home: str, term: str, name: str, markers: str) -> CellType:
    return CellType(term, name, lineage, home, tuple(markers.split()))


# From the most common to the rarest over all studies, roughly as atlases have them.
CELL_TYPES: tuple[CellType, ...] = (
    _type("neural", "cerebral cortex", "CL:0000679", "glutamatergic neuron", "SLC17A7 SATB2 CAMK2A NRGN"),
    _type("lymphoid", "", "CL:0000624", "CD4-positive, alpha-beta T cell", "CD3D CD3E IL7R LTB CD4"),
    _type("myeloid", "", "CL:0000860", "classical monocyte", "CD14 LYZ S100A8 S100A9 VCAN"),
    _type("lymphoid", "", "CL:0000625", "CD8-positive, alpha-beta T cell", "CD3D CD8A CD8B GZMK CCL5"),
    _type("stromal", "", "CL:0000057", "fibroblast", "COL1A1 COL1A2 DCN LUM PDGFRA"),
    _type("endothelial", "", "CL:0000115", "endothelial cell", "PECAM1 VWF CDH5 CLDN5 KDR"),
    _type("glia", "cerebral cortex", "CL:0000128", "oligodendrocyte", "MBP PLP1 MOBP MOG"),
    _type("lymphoid", "", "CL:0000623", "natural killer cell", "NKG7 GNLY KLRD1 PRF1 NCAM1"),
    _type("b", "", "CL:0000236", "B cell", "CD79A MS4A1 CD74 BANK1"),
    _type("epithelial", "lung", "CL:0002063", "pulmonary alveolar type 2 cell", "SFTPC SFTPB SFTPA1 NAPSA"),
    _type("myeloid", "", "CL:0000235", "macrophage", "CD68 C1QA C1QB MRC1 APOE"),
    _type("renal", "kidney", "CL:0002306", "epithelial cell of proximal tubule", "SLC34A1 LRP2 CUBN ALDOB"),
    _type("hepatic", "liver", "CL:0000182", "hepatocyte", "ALB APOA1 TTR SERPINA1 CYP3A4"),
    _type("neural", "cerebral cortex", "CL:0000617", "GABAergic neuron", "GAD1 GAD2 SLC32A1 DLX1"),
    _type("glia", "cerebral cortex", "CL:0000127", "astrocyte", "GFAP AQP4 SLC1A2 SLC1A3"),
    _type("muscle", "heart left ventricle", "CL:0000746", "cardiac muscle cell", "MYH7 TNNT2 ACTC1 RYR2"),
    _type("b", "", "CL:0000788", "naive B cell", "MS4A1 IGHD TCL1A FCER2"),
    _type("lymphoid", "", "CL:0000895", "naive thymus-derived CD4-positive, alpha-beta T cell", "CCR7 SELL LEF1"),
    _type("myeloid", "lung", "CL:0000583", "alveolar macrophage", "FABP4 MARCO PPARG MCEMP1"),
    _type("keratin", "skin of body", "CL:0000312", "keratinocyte", "KRT5 KRT14 KRT1 KRT10 DSG1"),
    _type("myeloid", "", "CL:0000875", "non-classical monocyte", "FCGR3A MS4A7 CDKN1C LST1"),
    _type("stromal", "", "CL:0000669", "pericyte", "RGS5 PDGFRB NOTCH3 KCNJ8"),
    _type("b", "", "CL:0000787", "memory B cell", "MS4A1 CD27 TNFRSF13B AIM2"),
    _type("muscle", "", "CL:0000192", "smooth muscle cell", "ACTA2 MYH11 TAGLN CNN1 DES"),
    _type("lymphoid", "", "CL:0000909", "CD8-positive, alpha-beta memory T cell", "CD8A GZMK IL7R CXCR3"),
    _type("epithelial", "lung", "CL:0002062", "pulmonary alveolar type 1 cell", "AGER CAV1 HOPX RTKN2"),
    _type("epithelial", "", "CL:0000064", "ciliated cell", "FOXJ1 TPPP3 CAPS DNAH5"),
    _type("glia", "cerebral cortex", "CL:0002453", "oligodendrocyte precursor cell", "PDGFRA VCAN CSPG4 OLIG1"),
    _type("myeloid", "cerebral cortex", "CL:0000129", "microglial cell", "P2RY12 CX3CR1 TMEM119 C1QA"),
    _type("b", "", "CL:0000786", "plasma cell", "JCHAIN MZB1 SDC1 IGHG1 IGKC"),
    _type("lymphoid", "", "CL:0000815", "regulatory T cell", "FOXP3 IL2RA CTLA4 IKZF2"),
    _type("myeloid", "", "CL:0000990", "conventional dendritic cell", "CD1C FCER1A CLEC10A HLA-DQA1"),
    _type("renal", "kidney", "CL:1001106", "kidney loop of Henle thick ascending limb epithelial cell", "UMOD SLC12A1"),
    _type("endothelial", "", "CL:0002138", "endothelial cell of lymphatic vessel", "LYVE1 PROX1 CCL21 PDPN"),
    _type("lymphoid", "", "CL:0000798", "gamma-delta T cell", "TRDC TRGC1 KLRC1 CD3D"),
    _type("epithelial", "lung", "CL:0000158", "club cell", "SCGB1A1 SCGB3A1 CYP2F1 MUC5B"),
    _type("epithelial", "", "CL:0000646", "basal cell", "KRT5 KRT15 TP63 DST"),
    _type("myeloid", "", "CL:0000097", "mast cell", "TPSAB1 TPSB2 CPA3 KIT MS4A2"),
    _type("myeloid", "liver", "CL:0000091", "Kupffer cell", "CD5L VSIG4 MARCO CD163 TIMD4"),
    _type("renal", "kidney", "CL:0000653", "podocyte", "NPHS1 NPHS2 PODXL WT1"),
    _type("myeloid", "", "CL:0000784", "plasmacytoid dendritic cell", "LILRA4 CLEC4C IL3RA GZMB"),
    _type("hepatic", "liver", "CL:1000488", "cholangiocyte", "KRT19 KRT7 EPCAM SOX9"),
    _type("megakaryocytic", "", "CL:0000556", "megakaryocyte", "PPBP PF4 ITGA2B GP9"),
    _type("progenitor", "", "CL:0000037", "hematopoietic stem cell", "CD34 AVP HLF SPINK2 CRHBP"),
    _type("neural", "", "CL:0002573", "Schwann cell", "MPZ CDH19 S100B SOX10"),
)

TISSUES: tuple[Term, ...] = (
    Term("UBERON:0000178", "blood"),
    Term("UBERON:0002048", "lung"),
    Term("UBERON:0002107", "liver"),
    Term("UBERON:0002084", "heart left ventricle"),
    Term("UBERON:0002113", "kidney"),
    Term("UBERON:0000956", "cerebral cortex"),
    Term("UBERON:0002097", "skin of body"),
    Term("UBERON:0002371", "bone marrow"),
    Term("UBERON:0002106", "spleen"),
)

NORMAL = Term("PATO:0000461", "normal")
DISEASES: tuple[Term, ...] = (
    Term("MONDO:0100096", "COVID-19"),
    Term("MONDO:0005061", "lung adenocarcinoma"),
    Term("MONDO:0007915", "systemic lupus erythematosus"),
    Term("MONDO:0005021", "dilated cardiomyopathy"),
    Term("MONDO:0004975", "Alzheimer disease"),
    Term("MONDO:0005300", "chronic kidney disease"),
)

ASSAYS: tuple[Term, ...] = (
    Term("EFO:0009922", "10x 3' v3"),
    Term("EFO:0009899", "10x 3' v2"),
    Term("EFO:0009900", "10x 5' v2"),
    Term("EFO:0011025", "10x 5' v1"),
)

UNKNOWN = Term("unknown", "unknown")
ETHNICITIES: tuple[Term, ...] = (
    Term("HANCESTRO:0849", "East Asian"),
    Term("HANCESTRO:0848", "South Asian"),
)

SEXES: tuple[Term, ...] = (Term("PATO:0000383", "female"), Term("PATO:0000384", "male"))

# With the age in years, in order of age.
STAGES: tuple[tuple[Term, int], ...] = (
    (Term("HsapDv:0000102", "8-year-old stage"), 8),
    (Term("HsapDv:0000114", "20-year-old stage"), 20),
    (Term("HsapDv:0000121", "27-year-old stage"), 27),
    (Term("HsapDv:0000128", "34-year-old stage"), 34),
    (Term("HsapDv:0000139", "45-year-old stage"), 45),
    (Term("HsapDv:0000146", "52-year-old stage"), 52),
    (Term("HsapDv:0000155", "61-year-old stage"), 61),
    (Term("HsapDv:0000167", "73-year-old stage"), 73),
)

HUMAN = Term("NCBITaxon:9606", "Homo sapiens")
SEVERITIES = ("none", "mild", "moderate", "severe")
PHASES = ("G1", "G2M", "S")
