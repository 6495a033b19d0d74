"""Mails as common programs write them: headers, structure, quoting and footers of each, made up for these tests.

`{LINE}` is where the sender has written the command. What stands in replies, footers and attachments is somebody
else's: a second command there must not count.
"""

from __future__ import annotations

import base64
import quopri
from collections.abc import Callable

from samples import LINE, OTHER

FROM, TO = "Ann Lee <ann@people.example>", "callback@calls.example"
DATE = "Fri, 27 Nov 2026 09:30:00 +0100"


def headers(*special: str, sender: str = FROM, message_id: str = "<1.2.3@people.example>") -> str:
    """The usual headers and a program's own."""
    usual = (f"From: {sender}", f"To: {TO}", "Subject: call", f"Date: {DATE}", f"Message-ID: {message_id}")
    return "\n".join([*usual, "MIME-Version: 1.0", *special])


def mail(head: str, body: str | bytes) -> bytes:
    text = body if isinstance(body, bytes) else body.encode()
    return (head + "\n\n").encode().replace(b"\n", b"\r\n") + text.replace(b"\r\n", b"\n").replace(
        b"\n", b"\r\n"
    )


def qp(text: str, charset: str = "utf-8") -> str:
    return quopri.encodestring(text.encode(charset)).decode()


def b64(text: str, charset: str = "utf-8") -> str:
    return base64.encodebytes(text.encode(charset)).decode()


def parts(boundary: str, *pieces: str) -> str:
    return "".join(f"--{boundary}\n{piece}\n" for piece in pieces) + f"--{boundary}--\n"


def gmail_web() -> bytes:
    text = f"{LINE}\n\nOn Thu, 26 Nov 2026 at 18:02, Bob <bob@b.example> wrote:\n\n> {OTHER}\n"
    page = (
        f'<div dir="ltr"><div>{LINE}</div></div><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">On Thu, '
        f'26 Nov 2026 at 18:02, Bob wrote:<br></div><blockquote class="gmail_quote" style="margin:0 0 0 .8ex">{OTHER}'
        "</blockquote></div>"
    )
    head = headers(
        "X-Gm-Message-State: AOJu0Yz", "X-Google-Smtp-Source: AGHT+I",
        'Content-Type: multipart/alternative; boundary="000000000000a1b2c3"',
    )  # fmt: skip
    return mail(
        head,
        parts(
            "000000000000a1b2c3",
            f'Content-Type: text/plain; charset="UTF-8"\n\n{text}',
            f'Content-Type: text/html; charset="UTF-8"\nContent-Transfer-Encoding: quoted-printable\n\n{qp(page)}',
        ),
    )


def iphone() -> bytes:
    head = headers(
        "Content-Type: text/plain; charset=us-ascii", "Content-Transfer-Encoding: quoted-printable",
        "X-Mailer: iPhone Mail (23A341)",
    ).replace("MIME-Version: 1.0", "Mime-Version: 1.0 (1.0)")  # fmt: skip
    return mail(head, f"{LINE}=20\n\nSent from my iPhone\n")


def iphone_reply() -> bytes:
    page = (
        '<html><head><meta http-equiv="content-type" content="text/html; charset=utf-8"></head><body dir="auto">'
        f'{LINE}<br><br><div dir="ltr">Sent from my iPhone</div><div dir="ltr"><br><blockquote type="cite">On 26 Nov '
        f'2026, at 18:02, Bob wrote:<br><br></blockquote></div><blockquote type="cite"><div dir="ltr">{OTHER}</div>'
        "</blockquote></body></html>"
    )
    head = headers("Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: quoted-printable")
    return mail(head, qp(page))


def apple_mail() -> bytes:
    boundary = "Apple-Mail=_5B2C7E1F-0D44-4C55-9E0B-1D2E3F4A5B6C"
    head = headers(
        f'Content-Type: multipart/alternative;\n\tboundary="{boundary}"', "X-Mailer: Apple Mail (2.3826.200)"
    )
    page = f'<html><body style="overflow-wrap: break-word;"><div>{LINE}</div><br></body></html>'
    return mail(
        head,
        "\n"
        + parts(
            boundary,
            f"Content-Transfer-Encoding: 7bit\nContent-Type: text/plain;\n\tcharset=us-ascii\n\n{LINE}\n",
            f"Content-Transfer-Encoding: 7bit\nContent-Type: text/html;\n\tcharset=us-ascii\n\n{page}",
        ),
    )


def outlook_desktop() -> bytes:
    page = (
        '<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><style><!-- p.MsoNormal {margin:0cm} --></style>'
        f'</head><body lang="EN-GB"><div class="WordSection1"><p class="MsoNormal">{LINE}<o:p></o:p></p><p '
        'class="MsoNormal"><o:p>&nbsp;</o:p></p><div style="border:none;border-top:solid #E1E1E1 1.0pt"><p '
        'class="MsoNormal"><b>From:</b> Bob &lt;bob@b.example&gt;<br><b>Sent:</b> Thursday<br><b>To:</b> Ann<br>'
        f'<b>Subject:</b> call<o:p></o:p></p></div><p class="MsoNormal">{OTHER}<o:p></o:p></p></div></body></html>'
    )
    text = f"{LINE}\n\n \n\nFrom: Bob <bob@b.example>\nSent: Thursday\nTo: Ann\nSubject: call\n\n{OTHER}\n"
    head = headers(
        "X-Mailer: Microsoft Outlook 16.0", "Thread-Index: AQHdX2==", "Content-Language: en-gb",
        'Content-Type: multipart/alternative;\n\tboundary="----=_NextPart_000_001A_01DC5F"',
    )  # fmt: skip
    return mail(
        head,
        "This is a multipart message in MIME format.\n\n"
        + parts(
            "----=_NextPart_000_001A_01DC5F",
            f'Content-Type: text/plain;\n\tcharset="us-ascii"\nContent-Transfer-Encoding: 7bit\n\n{text}',
            f'Content-Type: text/html;\n\tcharset="us-ascii"\nContent-Transfer-Encoding: quoted-printable\n\n{qp(page)}',
        ),
    )


def outlook_web() -> bytes:
    page = (
        f'<html><body dir="ltr"><div class="elementToProof" style="font-family: Aptos">{LINE}</div><div id="appendonsend">'
        f'</div><hr style="display:inline-block;width:98%"><div id="divRplyFwdMsg" dir="ltr"><font><b>From:</b> Bob<br>'
        f"<b>Sent:</b> Thursday<br></font></div><div>{OTHER}</div></body></html>"
    )
    head = headers(
        "X-MS-Has-Attach:", "X-MS-TNEF-Correlator:", 'Content-Type: text/html; charset="iso-8859-1"',
        "Content-Transfer-Encoding: base64",
    )  # fmt: skip
    return mail(head, b64(page, "iso-8859-1"))


def outlook_mobile() -> bytes:
    text = f"{LINE}\n\nGet Outlook for Android<https://aka.example/ghei36>\n________________________________\nFrom: Bob\n{OTHER}\n"
    return mail(headers('Content-Type: text/plain; charset="Windows-1252"'), text)


def thunderbird_flowed() -> bytes:
    text = f"{LINE.replace(' SN', ' ' + chr(10) + 'SN')}\n\nOn 26/11/2026 18:02, Bob wrote:\n> {OTHER}\n>\n"
    head = headers(
        "User-Agent: Mozilla Thunderbird", "Content-Language: en-US",
        "Content-Type: text/plain; charset=UTF-8; format=flowed", "Content-Transfer-Encoding: 8bit",
    )  # fmt: skip
    return mail(head, text)


def delsp_flowed() -> bytes:
    text = LINE.replace("420212345678", "4202 \n12345678")
    return mail(headers("Content-Type: text/plain; charset=us-ascii; format=flowed; delsp=yes"), text + "\n")


def yahoo() -> bytes:
    page = (
        f'<div class="ydp1yahoo-style-wrap"><div dir="ltr">{LINE}</div></div><div id="ydp2yahoo_quoted_1" '
        f'class="ydp2yahoo_quoted"><div>On Thursday, Bob wrote:</div><div><br></div><div>{OTHER}</div></div>'
    )
    return mail(
        headers("X-Mailer: WebService/1.1.24866 YMailNovation", "Content-Type: text/html; charset=UTF-8"),
        page,
    )


def samsung() -> bytes:
    page = (
        '<html><head><meta http-equiv="Content-Type" content="text/html; charset=UTF-8"></head><body dir="auto"><div '
        f'dir="auto">{LINE}</div><div><br></div><div id="composer_signature" dir="auto"><div style="font-size:12px">Sent '
        "from my Galaxy</div></div></body></html>"
    )
    head = headers("Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: base64")
    return mail(head, b64(page))


def k9() -> bytes:
    text = f"{LINE}\n-- \nSent from my Android device with K-9 Mail. Please excuse my brevity."
    return mail(
        headers("User-Agent: K-9 Mail for Android", "Content-Type: text/plain;\n charset=utf-8"), text
    )


def fairemail() -> bytes:
    head = headers('Content-Type: multipart/alternative; \n\tboundary="----=_Part_2_1234.1764"')
    return mail(
        head,
        parts(
            "----=_Part_2_1234.1764",
            f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\n{LINE}\n",
            f"Content-Type: text/html; charset=utf-8\n\n<html><body><p>{LINE}</p></body></html>",
        ),
    )


def proton() -> bytes:
    page = (
        f'<div style="font-family: Arial">{LINE}</div><div class="protonmail_signature_block"><div>Sent with <a '
        'href="https://proton.example/">Proton Mail</a> secure email.</div></div>'
    )
    head = headers(
        "Feedback-ID: 1:user:proton",
        "Content-Type: text/html; charset=utf-8",
        "Content-Transfer-Encoding: base64",
    )
    return mail(head, b64(page))


def gmx() -> bytes:
    page = f'<html><head></head><body><div style="font-family: Verdana;font-size: 12.0px;"><div>{LINE}</div></div></body></html>'
    head = headers("X-UI-Message-Type: mail", "X-Priority: 3", "Content-Type: text/html; charset=UTF-8")
    return mail(head, page)


def roundcube() -> bytes:
    text = f"{LINE}\n\nOn 2026-11-26 18:02, Bob wrote:\n> {OTHER}"
    head = headers(
        "User-Agent: Roundcube Webmail/1.6.1", "Content-Type: text/plain; charset=US-ASCII;\n format=flowed"
    )
    return mail(head, text)


def horde() -> bytes:
    text = f"{LINE}\n\n----- Message from Bob <bob@b.example> ---------\n    Date: Thu\n\n{OTHER}\n"
    head = headers(
        "User-Agent: Horde Application Framework 5",
        "Content-Type: text/plain; charset=utf-8; format=flowed; DelSp=Yes",
    )
    return mail(head, text)


def zimbra() -> bytes:
    text = f'{LINE}\n\n----- Original Message -----\nFrom: "Bob" <bob@b.example>\nTo: "Ann"\n\n{OTHER}\n'
    return mail(headers("X-Mailer: Zimbra 8.8.15_GA", "Content-Type: text/plain; charset=utf-8"), text)


def lotus_notes() -> bytes:
    page = f'<font face="Default Sans Serif" size="2">{LINE}<br><br><font color="#990099">-----Bob wrote: -----</font><br>{OTHER}</font>'
    head = headers(
        "X-Mailer: IBM Notes Release 9.0.1",
        "Content-Type: text/html; charset=ISO-8859-1",
        "Content-Transfer-Encoding: base64",
    )
    return mail(head, b64(page, "iso-8859-1"))


def japanese_phone() -> bytes:
    text = f"\u96fb\u8a71\u3057\u3066\u304f\u3060\u3055\u3044\n{LINE}\n"
    head = headers("Content-Type: text/plain; charset=iso-2022-jp", "Content-Transfer-Encoding: 7bit")
    return mail(head, text.encode("iso-2022-jp"))


def full_width() -> bytes:
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in "420212345678")
    return mail(headers("Content-Type: text/plain; charset=utf-8"), LINE.replace("420212345678", wide) + "\n")


def with_invitation() -> bytes:
    return mail(
        headers('Content-Type: multipart/mixed; boundary="mix"'),
        parts(
            "mix",
            f"Content-Type: text/plain; charset=utf-8\n\n{LINE}\n",
            f"Content-Type: text/calendar; method=REQUEST; charset=utf-8\n\nBEGIN:VCALENDAR\nDESCRIPTION:{OTHER}\nEND:VCALENDAR",
        ),
    )


def smime() -> bytes:
    return mail(
        headers(
            'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="sig"'
        ),
        "This is a cryptographically signed message in MIME format.\n\n"
        + parts(
            "sig",
            f"Content-Type: text/plain; charset=utf-8; format=flowed\nContent-Transfer-Encoding: 8bit\n\n{LINE}\n",
            'Content-Type: application/pkcs7-signature; name="smime.p7s"\nContent-Transfer-Encoding: base64\n\nMIAGCSqG',
        ),
    )


def inline_pgp() -> bytes:
    text = (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{LINE}\n-----BEGIN PGP SIGNATURE-----\n\niQEz\n"
    )
    return mail(headers("Content-Type: text/plain; charset=utf-8"), text)


def disclaimer() -> bytes:
    text = (
        f"{LINE}\n\nRegards,\nAnn Lee\nAcme Ltd | Floor 3 | Tel +44 20 7946 0111\n\nThis e-mail and any attachments are "
        "confidential and may be privileged. If you are not the intended recipient, please delete it.\n"
    )
    return mail(headers("Content-Type: text/plain; charset=utf-8"), text)


def international() -> bytes:
    head = headers(
        "Content-Type: text/plain; charset=utf-8",
        sender="\u0410\u043d\u043d\u0430 <\u0430\u043d\u043d\u0430@people.example>",
    )
    return mail(head, f"{LINE}\n")


def encoded_subject() -> bytes:
    words = base64.b64encode(LINE.encode()).decode()
    return mail(
        headers("Content-Type: text/plain").replace("Subject: call", f"Subject: =?utf-8?B?{words}?="), "\n\n"
    )


def forwarded() -> bytes:
    text = f"FYI\n\nBegin forwarded message:\n\nFrom: Bob\nSubject: call\n\n{LINE}\n"
    return mail(headers("Content-Type: text/plain; charset=utf-8"), text)


def forwarded_as_attachment() -> bytes:
    return mail(
        headers('Content-Type: multipart/mixed; boundary="fwd"'),
        parts(
            "fwd",
            "Content-Type: text/plain\n\nsee below\n",
            f"Content-Type: message/rfc822\n\nFrom: bob@b.example\nSubject: call\n\n{LINE}\n",
        ),
    )


WRITTEN: dict[str, Callable[[], bytes]] = {
    f.__name__: f
    for f in (
        gmail_web, iphone, iphone_reply, apple_mail, outlook_desktop, outlook_web, outlook_mobile, thunderbird_flowed,
        delsp_flowed, yahoo, samsung, k9, fairemail, proton, gmx, roundcube, horde, zimbra, lotus_notes, japanese_phone,
        full_width, with_invitation, smime, inline_pgp, disclaimer, international, encoded_subject,
    )
}  # fmt: skip
"""Mails in which the sender wrote LINE."""
NOT_WRITTEN: dict[str, Callable[[], bytes]] = {f.__name__: f for f in (forwarded, forwarded_as_attachment)}
"""Mails with LINE in them, which the sender did not write."""

ATTRIBUTIONS = {
    "en": "On Thu, 26 Nov 2026 at 18:02, Bob <bob@b.example> wrote:",
    "es": "El jue, 26 nov 2026 a las 18:02, Bob (<bob@b.example>) escribi\u00f3:",
    "fr": "Le jeu. 26 nov. 2026 \u00e0 18:02, Bob <bob@b.example> a \u00e9crit :",
    "it": "Il giorno gio 26 nov 2026 alle ore 18:02 Bob <bob@b.example> ha scritto:",
    "de": "Am Do., 26. Nov. 2026 um 18:02 Uhr schrieb Bob <bob@b.example>:",
    "ru": "\u0447\u0442, 26 \u043d\u043e\u044f\u0431. 2026 \u0433. \u0432 18:02, Bob <bob@b.example>:",
    "cs": "\u010dt 26. 11. 2026 v 18:02 odes\u00edlatel Bob <bob@b.example> napsal:",
    "nl": "Op do 26 nov 2026 om 18:02 schreef Bob <bob@b.example>:",
    "pl": "czw., 26 lis 2026 o 18:02 Bob <bob@b.example> napisa\u0142(a):",
    "pt": "Em qui., 26 de nov. de 2026 \u00e0s 18:02, Bob <bob@b.example> escreveu:",
}
"""How answers begin what they quote."""


def answered(language: str) -> bytes:
    """The command above what it answers."""
    quoted = f"> {OTHER}\n> bye\n"
    return mail(
        headers("Content-Type: text/plain; charset=utf-8"), f"{LINE}\n\n{ATTRIBUTIONS[language]}\n\n{quoted}"
    )


def bounce() -> bytes:
    head = headers(
        "Auto-Submitted: auto-replied", 'Content-Type: multipart/report; report-type=delivery-status; boundary="dsn"',
        sender="Mail Delivery System <MAILER-DAEMON@mx.people.example>",
    )  # fmt: skip
    return mail(
        head,
        parts(
            "dsn",
            f"Content-Type: text/plain\n\nI'm sorry to have to inform you that your message could not be delivered.\n{LINE}\n",
            "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.people.example\nAction: failed\nStatus: 5.1.1",
            f"Content-Type: message/rfc822\n\nFrom: ann@people.example\n\n{LINE}\n",
        ),
    )


def read_receipt() -> bytes:
    head = headers('Content-Type: multipart/report; report-type=disposition-notification; boundary="mdn"')
    return mail(
        head,
        parts(
            "mdn",
            f"Content-Type: text/plain\n\nYour message was read.\n{LINE}\n",
            "Content-Type: message/disposition-notification\n\nDisposition: manual-action/MDN-sent-manually; displayed",
        ),
    )


def out_of_office() -> bytes:
    head = headers(
        "Auto-Submitted: auto-generated", "X-Auto-Response-Suppress: All", "Content-Type: text/plain"
    )
    return mail(head, f"I am away until Monday.\n\n{LINE}\n")


def from_a_list() -> bytes:
    head = headers("List-Id: <friends.lists.example>", "Precedence: list", "Content-Type: text/plain")
    return mail(head, f"{LINE}\n_______________________________________________\nfriends mailing list\n")


MACHINES: dict[str, Callable[[], bytes]] = {
    f.__name__: f for f in (bounce, read_receipt, out_of_office, from_a_list)
}
"""Mails that no person wrote to us."""
