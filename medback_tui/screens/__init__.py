"""The screens: four modes on keys 1–4, and what opens above them."""
