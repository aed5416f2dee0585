"""Damaging files at random, in the ways that bring readers out of step."""

import random

INTERESTING = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFE,
    0xFFFF,
    0x10000,
    2**31 - 1,
    2**31,
    2**32 - 1,
)


def mutate(data: bytes, rng: random.Random, tokens: tuple[bytes, ...] = (), most: int = 6) -> bytes:
    """A file with up to `most` changes: of bits, bytes, numbers and pieces, and with tokens put in."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, most)):
        if not changed:
            changed += b"x"
        place = rng.randrange(len(changed))
        end = min(len(changed), place + rng.choice((1, 2, 4, 16, 64, 256)))
        match rng.randrange(9):
            case 0:
                changed[place] ^= 1 << rng.randrange(8)
            case 1:
                changed[place] = rng.randrange(256)
            case 2:
                size = rng.choice((1, 2, 4, 8))
                number = rng.choice(INTERESTING) % (1 << 8 * size)
                changed[place : place + size] = number.to_bytes(size, rng.choice(("little", "big")))
            case 3:
                del changed[place:end]
            case 4:
                changed[place:place] = changed[place:end]
            case 5:
                other = rng.randrange(len(changed))
                changed[other : other + end - place] = changed[place:end]
            case 6:
                del changed[place:]
            case 7:
                changed[place:place] = rng.randbytes(rng.choice((1, 3, 10)))
            case _ if tokens:
                changed[place:place] = rng.choice(tokens) * rng.choice((1, 1, 1, 2, 50))
    return bytes(changed)
