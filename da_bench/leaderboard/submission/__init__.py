"""Submissions: the predictions of runs, from which every number is recomputed. `da-bench submit pack | check`.

A submission is a folder or a zip archive with this layout:

    manifest.json                name, authors, declared selection rule, and the sha256 of every other file
    runs/<id>/config.json        the resolved experiment; its hash is the id
              result.json        what each selection rule chose; its numbers are compared, never used
              curves.json        the same for every evaluation, and the validator scores
              environment.json   commit, packages, device, data fingerprint
              predictions.npz    predicted classes [evaluations, rows] of both test splits, uint16
    code/<name>.py               optional: the method, if it is not part of da_bench

`writer` packs one, `reader` reads one within limits, `schema` says what each JSON file holds. `check` runs all checks:
`recompute` (numbers), `suspicion` (improbable predictions), and on request `rerun`. `verdict` is its report as a file.
"""
