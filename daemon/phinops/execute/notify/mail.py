"""Email by SMTP, encrypted from the first byte (`smtps://`) or after STARTTLS (`smtp://`)."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import SplitResult, urlsplit

import aiosmtplib

from phinops.errors import ConfigError
from phinops.execute.notify.note import Form, Note, Undelivered
from phinops.execute.notify.robot import Manner
from phinops.execute.notify.wording import cut, lines

TIMEOUT = 20.0
"""Real seconds for each step of a delivery."""

ROOM = 200_000

_PORTS = {"smtp": 587, "smtps": 465}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Envelope:
    """From whom and to whom; `username` is for servers that ask for a login, with the password as the secret."""

    sender: str
    to: tuple[str, ...]
    username: str | None = None


class MailChannel:
    """Sends each notice as one message to all receivers.

    `url` is `smtps://HOST:465` or `smtp://HOST:587`; the latter insists on STARTTLS, except on loopback.

    Raises:
        ConfigError: the address is none of these.
    """

    form = Form(room=ROOM)

    def __init__(self, url: str, password: str | None, envelope: Envelope, manner: Manner | None = None) -> None:
        self._server = _server(url)
        self._password = password
        self._envelope = envelope
        self._manner = manner or Manner()

    async def send(self, note: Note) -> None:
        """Delivered when the server has taken it for at least one receiver.

        Raises:
            Undelivered: no answer, or a passing refusal (4xx: again); a refusal for good (5xx: not).
        """
        server, envelope = self._server, self._envelope
        try:
            refused, _ = await aiosmtplib.send(
                self._message(note),
                sender=envelope.sender,
                recipients=list(envelope.to),
                hostname=server.hostname,
                port=server.port or _PORTS[server.scheme],
                username=envelope.username,
                password=self._password if envelope.username else None,
                use_tls=server.scheme == "smtps",
                start_tls=_start_tls(server),
                timeout=TIMEOUT,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [each.code for each in error.recipients]
            raise Undelivered(f"no receiver was taken: {_codes(codes)}", retry=any(c < 500 for c in codes)) from None
        except aiosmtplib.SMTPResponseException as error:
            raise Undelivered(f"SMTP {error.code}: {error.message[:200]}", retry=error.code < 500) from None
        except aiosmtplib.SMTPException as error:
            raise Undelivered(f"no connection to the mail server ({type(error).__name__})", retry=True) from None
        except OSError as error:
            raise Undelivered(f"no connection to the mail server ({type(error).__name__})", retry=True) from None
        if refused:
            # The others have it: to send it again would tell them twice.
            names = ", ".join(sorted(refused))
            raise Undelivered(
                f"taken, but not for {names}: {_codes([each.code for each in refused.values()])}", retry=False
            )

    def _message(self, note: Note) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(cut(self._manner.words.headline(note), 200).split())
        message["From"] = self._envelope.sender
        message["To"] = ", ".join(self._envelope.to)
        message["Date"] = format_datetime(note.time)
        # The same at every try, so that a mailbox can tell a repetition.
        message["Message-ID"] = f"<{note.id}@phinops>"
        message["X-Phinops-Severity"] = note.severity
        message.set_content(cut("\n".join(list(lines(note, self._manner.words))[1:]), ROOM))
        return message


def _start_tls(server: SplitResult) -> bool | None:
    """Whether STARTTLS is asked for: always but on loopback, where it is where the server offers it."""
    if server.scheme == "smtps":
        return False
    return None if server.hostname in _LOOPBACK else True


def _server(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PORTS and parts.hostname and parts.port != 0 and not parts.username
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError("the url of a mail server is smtps://HOST:465 or smtp://HOST:587, without a login in it")
    return parts


def _codes(codes: list[int]) -> str:
    return ", ".join(f"SMTP {code}" for code in sorted(set(codes)))
