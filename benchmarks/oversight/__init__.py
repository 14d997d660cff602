"""What is measured of critics, judges and debates."""
