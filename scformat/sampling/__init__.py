"""How cells are drawn: distributions over strata, and streams of rows. Pure functions of seed and position, no I/O."""

from scformat.sampling.alias import AliasTable, alias_masses, build_alias
from scformat.sampling.draws import Draws, SetDraws
from scformat.sampling.masses import integer_masses, mass_bits, tempered
from scformat.sampling.plans import EpochPlan, IndependentPlan, Plan, ScheduledPlan, StratifiedPlan
from scformat.sampling.set_plans import EpochSets, IndependentSets, SetPlan, StratifiedSets
from scformat.sampling.sets import Combinations, Controls, SetForm, SetShape
from scformat.sampling.state import PLANS, State
from scformat.sampling.strata import MAX_RUNS, ResidentRows, RowList, Strata
from scformat.sampling.table import Table
from scformat.sampling.window import Window, WindowShape

__all__ = [
    "MAX_RUNS",
    "PLANS",
    "AliasTable",
    "Combinations",
    "Controls",
    "Draws",
    "EpochPlan",
    "EpochSets",
    "IndependentPlan",
    "IndependentSets",
    "Plan",
    "ResidentRows",
    "RowList",
    "ScheduledPlan",
    "SetDraws",
    "SetForm",
    "SetPlan",
    "SetShape",
    "State",
    "Strata",
    "StratifiedPlan",
    "StratifiedSets",
    "Table",
    "Window",
    "WindowShape",
    "alias_masses",
    "build_alias",
    "integer_masses",
    "mass_bits",
    "tempered",
]
