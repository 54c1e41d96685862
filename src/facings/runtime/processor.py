"""What Linux tells of the processor. Knows nothing of what is run on it."""

from pathlib import Path


def processor_fields() -> dict[str, str]:
    """The lines `name: value` of the first processor in `/proc/cpuinfo`; none on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    fields = (line.split(":", 1) for line in reversed(text.splitlines()) if ":" in line)
    return {name.strip(): value.strip() for name, value in fields}


def instruction_sets() -> frozenset[str]:
    """Names as Linux has them, such as `avx512_vnni`; none where the system does not tell."""
    fields = processor_fields()
    return frozenset(fields.get("flags", fields.get("Features", "")).split())
