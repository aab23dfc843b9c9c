"""What is compared on digits beside the methods that a table printed."""

import da_bench as da
from da_bench.methods import Method


def classics() -> list[Method]:
    """CORAL, DAN, JAN, CDAN, CDAN+E, MCD, WDGRL and ADDA, at the defaults of their papers."""
    m = da.methods
    conditional = [m.Cdan(), m.Cdan(entropy_conditioning="plain")]
    return [m.Coral(), m.Mmd(), m.Jan(), *conditional, m.Mcd(), m.Wdgrl(), m.Adda()]
