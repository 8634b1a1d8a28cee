"""Files that people write: YAML with positions, ``${VAR}``, typed fields, all problems at once."""
