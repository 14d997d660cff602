"""What the benchmark of critics is made of: exams, scripted critics, windows over long answers, critics taught on."""
