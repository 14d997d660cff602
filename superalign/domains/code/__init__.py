"""Programs as answers: run in a sandbox, judged by tests they never see."""
