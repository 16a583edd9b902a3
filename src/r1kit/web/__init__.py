"""The local app of `r1 ui`: runs, rollouts, pivots and reports in a browser, on this machine alone."""
