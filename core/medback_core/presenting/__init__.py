"""What both front ends say: units, words, outcomes, ways out. Headless: no terminal, no screen, no command line."""
