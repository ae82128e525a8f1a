"""tahoe.cfg and private/ become every room, built once and in order."""
