"""What the benchmark of critics is made of: exams, scripted critics, other ways to ask, critics taught."""
