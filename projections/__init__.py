"""The read side: the fold, the read models that projectors fill, and the Tool Registry in memory."""
