"""The world of one run: everything that is there while a scenario plays, and what happens to it.

`world.py` builds it; `replica.py`, with `armed.py` and `database.py`, is a gateway that can lose its power;
`network.py` lays the links; `faults.py` plays the timeline; `observe.py` reads what can be seen from
outside; `doors.py` is the seam to any gateway. When what happens is the runner's business.
"""
