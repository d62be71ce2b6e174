"""How cells are drawn: distributions over strata, and streams of rows. Pure functions of seed and position, no I/O."""

from scformat.sampling.alias import AliasTable, alias_masses, build_alias
from scformat.sampling.masses import integer_masses, mass_bits, tempered
from scformat.sampling.plans import EpochPlan, IndependentPlan, Plan, ScheduledPlan, StratifiedPlan
from scformat.sampling.state import PLANS, State
from scformat.sampling.strata import MAX_RUNS, ResidentRows, RowList, Strata
from scformat.sampling.table import Table
from scformat.sampling.window import Window, WindowShape

__all__ = [
    "MAX_RUNS",
    "PLANS",
    "AliasTable",
    "EpochPlan",
    "IndependentPlan",
    "Plan",
    "ResidentRows",
    "RowList",
    "ScheduledPlan",
    "State",
    "Strata",
    "StratifiedPlan",
    "Table",
    "Window",
    "WindowShape",
    "alias_masses",
    "build_alias",
    "integer_masses",
    "mass_bits",
    "tempered",
]
