"""A small file of experiments that declares a reproduction."""

TASK = "moons/35"
TEXT = '''"""Does it work?"""
import da_bench as da
TASK = "moons/35"
EXPERIMENTS = da.over_seeds([da.Experiment(task=TASK, method=da.methods.SourceOnly())], 2)
PAPER = da.reproduction.Paper(
    title="T", citation="c", protocol="p", selection="s", rule="last", cells={("source_only", TASK): 0.7}, cost="none"
)
QUICK = da.reproduction.Quick(EXPERIMENTS, {("source_only", TASK): (0.6, 0.7)})
'''


def write(folder, text=TEXT, name="example"):
    """Write the file into folder/experiments and return its path."""
    path = folder / "experiments" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path
