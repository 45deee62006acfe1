"""YAML files in; Scenario, Testbed and Profile out. Strict, with errors that name file, line and key."""
