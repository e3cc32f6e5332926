"""The published MD5 collision of Wang, Feng, Lai, Yu (2004): two contents of one size and MD5."""

ONE = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a085125e8f7cdc99f"
    "d91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0e99f33420f577ee8ce54b67080a80d1e"
    "c69821bcb6a8839396f9652b6ff72a70"
)
_other = bytearray(ONE)
for _place in (19, 45, 59, 83, 109, 123):
    _other[_place] ^= 0x80
TWO = bytes(_other)
