"""Card data never enters: what is cut from everything received, before the first write of any kind.

`cut` for JSON values, `cut_text` for everything else. Pure; neither logs nor raises a value it has seen.
"""

from libs.runtime.carddata.cutting import Cut, TooDeep, cut, cut_text
from libs.runtime.carddata.findings import Finding, Rule

__all__ = ["Cut", "Finding", "Rule", "TooDeep", "cut", "cut_text"]
