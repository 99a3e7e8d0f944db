"""The technique `distill`: the small model learns from a teacher, on top of the labels."""
