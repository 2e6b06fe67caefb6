"""Email, against a real SMTP server on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Session
from aiosmtpd.smtp import Envelope as Mail

from certificates import self_signed
from phinops.clock import SystemClock
from phinops.errors import ConfigError
from phinops.execute.notify.mail import Envelope, MailChannel
from phinops.execute.notify.note import Note, Undelivered
from phinops.execute.notify.post import Post
from phinops.execute.notify.robot import Manner
from phinops.execute.notify.table import Wanted, open_channel
from stillness import NOON

NOTE = Note(
    id="msg_1",
    time=NOON,
    rule="rerun-orders",
    firing_id="fi_1",
    title="订单 still fails",
    message="t_1 failed again",
    severity="critical",
    event={"tenant": "prod"},
    links={"log": "https://log.example"},
)
ENVELOPE = Envelope("phinops@example.com", ("li@example.com", "wang@example.com"))


@dataclass(slots=True)
class Mailroom:
    """What a mail server does with mail: it keeps it, or answers by `says` (to a receiver, or to a message)."""

    says: dict[str, str] = field(default_factory=dict)
    taken: list[EmailMessage] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Mail, address: str, options: list[str]
    ) -> str:
        if address in self.says:
            return self.says[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Mail) -> str:
        if "DATA" in self.says:
            return self.says["DATA"]
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
        return "250 taken"


@asynccontextmanager
async def served(
    room: Mailroom, *, password: bytes | None = None, certificate: Path | None = None
) -> AsyncGenerator[str]:
    """The mail server's address. With a password it wants a login, with a certificate it speaks TLS from the start."""
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)

    def authenticate(server: object, session: object, envelope: object, mechanism: str, data: object) -> AuthResult:
        login = (getattr(data, "login", b""), getattr(data, "password", b""))
        room.logins.append(login)
        return AuthResult(success=login[1] == password, handled=False)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(
            room,
            loop=loop,
            enable_SMTPUTF8=True,
            authenticator=authenticate if password else None,
            auth_required=password is not None,
            auth_require_tls=False,
        ),
        "127.0.0.1",
        0,
        ssl=tls,
    )
    try:
        yield f"{'smtps' if tls else 'smtp'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def refusal(room: Mailroom) -> Undelivered:
    async with served(room) as url:
        with pytest.raises(Undelivered) as caught:
            await MailChannel(url, None, ENVELOPE).send(NOTE)
    return caught.value


async def test_a_notice_arrives_with_its_id_and_all_that_people_read() -> None:
    room = Mailroom()
    async with served(room) as url:
        channel = MailChannel(url, None, ENVELOPE, Manner("zh"))
        await channel.send(NOTE)
        await channel.send(NOTE)
    first, again = room.taken
    assert (first["Subject"], first["To"]) == ("【严重】订单 still fails", "li@example.com, wang@example.com")
    assert first["Message-ID"] == again["Message-ID"] == "<msg_1@phinops>"
    assert first.get_content().splitlines() == [
        "t_1 failed again",
        "rerun-orders · prod · fi_1",
        "日志: https://log.example",
    ]


async def test_a_title_of_several_lines_is_one_subject() -> None:
    room = Mailroom()
    async with served(room) as url:
        await MailChannel(url, None, ENVELOPE).send(replace(NOTE, title="two\nlines\r\nBcc: x@example.com"))
    assert room.taken[0]["Subject"] == "[CRITICAL] two lines Bcc: x@example.com"
    assert room.taken[0]["Bcc"] is None


async def test_a_message_travels_in_tls_to_a_server_that_is_trusted_and_to_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, certificate = Mailroom(), self_signed(tmp_path / "mail.pem")
    async with served(room, certificate=certificate) as url:
        with pytest.raises(Undelivered, match="no connection to the mail server"):
            await MailChannel(url, None, ENVELOPE).send(NOTE)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        await MailChannel(url, None, ENVELOPE).send(NOTE)
    assert len(room.taken) == 1


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_a_login_is_made_where_one_is_configured() -> None:
    room = Mailroom()
    async with served(room, password=b"pa55") as url:
        await MailChannel(url, "pa55", replace(ENVELOPE, username="phinops")).send(NOTE)
        assert room.logins == [(b"phinops", b"pa55")]
        with pytest.raises(Undelivered, match="SMTP 535") as caught:
            await MailChannel(url, "wrong", replace(ENVELOPE, username="phinops")).send(NOTE)
    assert not caught.value.retry
    assert "wrong" not in caught.value.reason


@pytest.mark.parametrize(("answer", "retry"), [("451 busy", True), ("554 spam", False)])
async def test_a_passing_refusal_is_tried_again_and_one_for_good_is_not(answer: str, retry: bool) -> None:
    error = await refusal(Mailroom({"DATA": answer}))
    assert error.retry is retry
    assert error.reason.startswith(f"SMTP {answer[:3]}")


async def test_receivers_that_are_all_refused_are_told_by_their_codes() -> None:
    error = await refusal(Mailroom({"li@example.com": "550 unknown", "wang@example.com": "550 unknown"}))
    assert (error.reason, error.retry) == ("no receiver was taken: SMTP 550", False)


async def test_a_mail_that_not_everybody_got_is_not_sent_to_the_others_again() -> None:
    room = Mailroom({"wang@example.com": "550 unknown"})
    error = await refusal(room)
    assert (error.reason, error.retry) == ("taken, but not for wang@example.com: SMTP 550", False)
    assert len(room.taken) == 1


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    async with served(Mailroom()) as url:
        pass
    with pytest.raises(Undelivered, match="no connection to the mail server") as caught:
        await MailChannel(url, None, ENVELOPE).send(NOTE)
    assert caught.value.retry


async def test_a_server_elsewhere_must_encrypt() -> None:
    """A name of this machine's own that is not loopback's: STARTTLS is asked for, and this server has none."""
    room = Mailroom()
    async with served(room) as url:
        with pytest.raises(Undelivered) as caught:
            await MailChannel(url.replace("127.0.0.1", "127.0.0.2.nip.invalid"), None, ENVELOPE).send(NOTE)
    assert caught.value.retry
    assert room.taken == []


@pytest.mark.parametrize(
    "url", ["mail.example.com", "http://mail.example.com", "smtp://u:p@mail.example.com", "smtp://"]
)
async def test_an_address_that_is_no_mail_server_s_is_refused_without_showing_it(url: str) -> None:
    async with Post() as post:
        with pytest.raises(ConfigError) as caught:
            open_channel("email", Wanted(url, envelope=ENVELOPE), post, SystemClock())
    assert "u:p" not in str(caught.value)


async def test_email_needs_sender_and_receivers() -> None:
    async with Post() as post:
        with pytest.raises(ConfigError, match="`from` and `to`"):
            open_channel("email", Wanted("smtp://127.0.0.1:25"), post, SystemClock())
