"""GSM8K: word problems of grade-school mathematics whose answers are single numbers."""
