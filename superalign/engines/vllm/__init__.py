"""vLLM in a process of its own: the engine, the process as its parent sees it, and what runs inside."""
