"""What is measured of learning: recipes beside plain training on what people wrote, and how much noise is selected."""
