"""What a configuration can hold: the type and the range of every value, by command, group and class.

`medseg.config.checks.check` is called with every composed configuration before a command begins. It needs no torch.
"""
