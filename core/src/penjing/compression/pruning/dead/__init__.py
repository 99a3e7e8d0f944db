"""The technique `remove-dead`.

- `technique`: what a recipe calls, and its report.
- `removal`: round by round, until nothing is dead.
- `liveness`, `readers`: which channels nothing needs, and where their constants go.
- `rewriting`: layers and branches that do nothing.
- `ranges`, `observation`: what the proof is relative to, and the weaker evidence of the data.
- `certificate`: the difference at the outputs, measured.
"""
