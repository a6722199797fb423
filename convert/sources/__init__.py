"""The classifiers to convert: from a training run or from another program."""
