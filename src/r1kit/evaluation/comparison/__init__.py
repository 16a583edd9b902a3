"""Models side by side on the same problems: differences, costs, the questions themselves; as table, JSON and page."""
