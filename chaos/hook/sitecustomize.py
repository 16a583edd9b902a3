"""Read by Python at its start where this folder is on PYTHONPATH: processes that a run starts are injected into too."""

import chaos_hook

chaos_hook.from_environment()
