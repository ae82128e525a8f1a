"""What a service, or the network before it, may do to a request: each a fault for ``fault_proxy.FaultProxy``.

"Lost" faults happen before the server acts, "late" ones after it did and only its answer suffers.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from tests.servers.fault_proxy import Answer, Exchange, Fault

ERROR = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We encountered an error.</Message></Error>"
SLOW = 0.05  # seconds
DRIP = 0.02  # seconds between two bytes


async def latency(exchange: Exchange) -> None:
    answer = await exchange.forward()
    await exchange.pause(SLOW)
    exchange.say(answer.whole())


async def lost(exchange: Exchange) -> None:
    """The connection is reset before the server hears anything."""
    exchange.reset()


async def late(exchange: Exchange) -> None:
    """The server acts; its answer is lost."""
    await exchange.forward()
    exchange.reset()


def _half(answer: Answer) -> bytes:
    """The head and half of the body; where there is no body, half of the head."""
    whole = answer.whole()
    return whole[: len(answer.head()) + len(answer.body) // 2] if answer.body else whole[: len(whole) // 2]


async def reset_inside(exchange: Exchange) -> None:
    exchange.say(_half(await exchange.forward()))
    await exchange.pause(0.01)  # what was said goes out before the RST
    exchange.reset()


async def truncated(exchange: Exchange) -> None:
    """The right length is told, and the connection ends in good order before it."""
    exchange.say(_half(await exchange.forward()))
    exchange.finish()


def wrong_length(by: int) -> Fault:
    async def told(exchange: Exchange) -> None:
        answer = await exchange.forward()
        length = answer.header(b"content-length")
        if exchange.method != "HEAD" and answer.body and length and int(length) + by >= 0:
            old, new = b"ength: " + length, b"ength: %d" % (int(length) + by)
            answer = Answer(tuple(line.replace(old, new) for line in answer.lines), answer.body)
        exchange.say(answer.whole())
        if by > 0:
            exchange.finish()

    return told


def flipped(seed: int) -> Fault:
    """One bit of the body is another one."""
    draw = random.Random(seed)

    async def flip(exchange: Exchange) -> None:
        answer = await exchange.forward()
        body = bytearray(answer.body)
        if body:
            body[draw.randrange(len(body))] ^= 1 << draw.randrange(8)
        exchange.say(answer.head() + bytes(body))

    return flip


def damaged(seed: int, least: int = 1024) -> Fault:
    """One bit of a body of ``least`` bytes or more is another one when the server gets it."""
    draw = random.Random(seed)

    async def damage(exchange: Exchange) -> None:
        if len(exchange.body) >= least:
            exchange.body[draw.randrange(len(exchange.body))] ^= 1 << draw.randrange(8)
        exchange.say((await exchange.forward()).whole())

    return damage


def status(code: int, headers: Mapping[str, str] | None = None, content: bytes = ERROR, *, acts: bool = False) -> Fault:
    """Answered with this status, where ``acts`` after the server did what was asked."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())

    async def answer(exchange: Exchange) -> None:
        if acts:
            await exchange.forward()
        said = b"" if exchange.method == "HEAD" else content
        head = (
            f"HTTP/1.1 {code} Whatever\r\nContent-Type: application/xml\r\n{lines}Content-Length: {len(said)}\r\n\r\n"
        )
        exchange.say(head.encode() + said)

    return answer


async def hang(exchange: Exchange) -> None:
    await exchange.until_gone()


async def hang_late(exchange: Exchange) -> None:
    """The server acts, and nothing is heard of it."""
    await exchange.forward()
    await exchange.until_gone()


async def hang_inside(exchange: Exchange) -> None:
    exchange.say(_half(await exchange.forward()))
    await exchange.until_gone()


async def drip(exchange: Exchange) -> None:
    """One byte after the other, never the last one."""
    for byte in (await exchange.forward()).whole()[:-1]:
        if exchange.gone:
            return
        exchange.say(bytes([byte]))
        await exchange.pause(DRIP)
    await exchange.until_gone()


async def garbage(exchange: Exchange) -> None:
    await exchange.forward()
    exchange.say(b"HTTP/1.1 two hundred OK\r\nContent-Length: 0\r\n\r\n")


async def fat(exchange: Exchange) -> None:
    """More headers than anybody needs."""
    answer = await exchange.forward()
    more = tuple(b"X-Fat-%d: %s" % (number, b"y" * 1000) for number in range(100))
    exchange.say(Answer((answer.lines[0], *more, *answer.lines[1:]), answer.body).whole())


async def twice(exchange: Exchange) -> None:
    """The answer comes twice: the second is not that of the next request."""
    answer = await exchange.forward()
    exchange.say(answer.whole() + answer.whole())
