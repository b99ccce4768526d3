"""Audio between the wire and the bot: formats, codecs, resampling, playout, tones.

Nothing here waits, sleeps, logs or has a clock of its own.
"""
