"""The workloads by name: what each measures, and the function that does it."""

from . import changes, choices, cold, resident

WORKLOADS = {
    "cold-eleven": ("CSV to the eleven aggregate tables, from nothing", cold.eleven),
    "cold-thirteen": ("CSV to all thirteen tables, from nothing", cold.thirteen),
    "parquet-eleven": ("Parquet to the eleven tables, from nothing", cold.parquet),
    "late": ("a late file of 1,000 rows, a process of its own", changes.late),
    "corrected": ("a day delivered again with every row changed, a process of its own", changes.corrected),
    "resident": ("one late row into a graph that stays: from handing it in to the changes of all tables", resident.late_row),
    "restart": ("a kept job started again: nothing to do, and the first late file", changes.restart),
    "growth": ("time, memory and state after a tenth of the rows, all, and the large history", cold.growth),
    "workers": ("one thread and two", cold.workers),
    "choices": ("input formats, partitions, ways to join, the second run", choices.choices),
}
