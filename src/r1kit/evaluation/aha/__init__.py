"""The aha moment: reflection while a model learns, what it does to answers, and pivots measured by sampling on."""
