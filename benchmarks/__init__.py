"""Speed, side by side with a peer in one run: ``make bench``. What is printed and kept are ratios, not promises."""
