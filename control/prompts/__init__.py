"""What Veche says to people on the telephone: texts in several languages, spoken, cached, and replaced by recordings.

``catalogue`` holds the texts, ``grammar`` says numbers and times, ``synthesiser`` speaks through espeak-ng in a
process of its own, ``recordings`` are the operator's, and ``prompts.Prompts`` joins them. ``tones`` and ``music`` need
no words.
docs/prompts.md tells how to write texts and where recordings go.
"""
