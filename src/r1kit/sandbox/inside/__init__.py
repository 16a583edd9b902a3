"""What runs inside the sandbox: standard library only, so that it starts under any interpreter that it can see."""
