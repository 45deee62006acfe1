"""What each role needs, as pure functions: facts and a wish in, changes out. Nothing here runs anything."""
