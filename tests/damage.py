"""Files cut short or altered, for hypothesis to draw."""

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """These bytes with the end missing, or with one to three of them changed (perhaps to what they were)."""
    if draw(st.booleans(), label="cut"):
        return content[: draw(st.integers(0, len(content) - 1))]
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        changed[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)
