"""Where many like pieces of work are done: one after the other here, several at a time
here, or on a cluster with Ray.

Whoever has a list of work asks `make_engine` for one and goes through what
`engine.run(function, items)` yields; nothing else changes with the engine. See
docs/scale.md.
"""

from cnnviz_utils.engines.engine import Answer, Engine, Share, make_engine, share_of

__all__ = ["Answer", "Engine", "Share", "make_engine", "share_of"]
