"""Tables of runs: one YAML file a table, a run for each row and seed, published values
beside ours.

`plan` reads and checks a table, `run` trains its rows, `report` writes what was found.
The command is `cnnviz sweep`.
"""
