"""How fast networks are on this machine and how much memory they take.

Each network lives in a separate process, so that one that crashes, or is killed for its memory, takes none of the
others with it, and so that its memory is measured alone. The processes take turns: one measures while the others wait.
"""
