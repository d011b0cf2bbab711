"""A mail relay that is slow in a known way: every reply leaves so long after its command came.

Commands that arrive together (PIPELINING) are answered together, as over a line with that round trip.
`python3 smtp_relay.py PORT DELAY_MS (pipelining|plain) FILE` writes, on SIGTERM, {"mails": [[seconds since epoch,
recipient], ...], "connections": most at once} to FILE.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time


class Relay:
    def __init__(self, delay: float, pipelining: bool):
        self.delay, self.pipelining = delay, pipelining
        self.mails: list[tuple[float, str]] = []
        self.open = self.most = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        loop = asyncio.get_running_loop()

        def reply(text: str) -> None:
            # Timers of the same delay fire in the order in which they were set.
            loop.call_later(self.delay, lambda: writer.is_closing() or writer.write(f"{text}\r\n".encode()))

        try:
            reply("220 relay ready")
            await self.converse(reader, reply)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            await asyncio.sleep(self.delay * 2)
            writer.close()

    async def converse(self, reader: asyncio.StreamReader, reply) -> None:
        recipient = ""
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                reply("250-relay\r\n250-8BITMIME\r\n250 PIPELINING" if self.pipelining else "250-relay\r\n250 8BITMIME")
            elif verb == b"RCPT":
                recipient = line.decode().partition("<")[2].partition(">")[0]
                reply("250 ok")
            elif verb == b"DATA":
                reply("354 go on")
                await reader.readuntil(b"\r\n.\r\n")
                self.mails.append((time.time(), recipient))
                reply("250 taken")
            elif verb == b"QUIT":
                reply("221 bye")
                return
            else:
                reply("250 ok")


async def main(port: int, delay_ms: float, extension: str, file: str) -> None:
    relay = Relay(delay_ms / 1000, extension == "pipelining")
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", port, limit=1 << 20, backlog=1024)
    print("ready", flush=True)
    await ended.wait()
    server.close()
    with open(file, "w") as out:
        json.dump({"mails": relay.mails, "connections": relay.most}, out)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4]))
