"""Submissions: the predictions of runs, from which every number is computed again. `da-bench submit pack | check`.

SUBMISSION/ or SUBMISSION.zip
  manifest.json                who, what, which rule was declared, and the sha256 of every other file
  runs/<id>/config.json        the resolved experiment; its hash is the id
            result.json        what each selection rule chose; its numbers are compared, never used
            curves.json        the same of every evaluation, and what validators said
            environment.json   commit, packages, device, data fingerprint
            predictions.npz    predicted classes [evaluations, rows] of both test sets, uint16
  code/<name>.py               optional: the method, where it is not one of da_bench's
"""
