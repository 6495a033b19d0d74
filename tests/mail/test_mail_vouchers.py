"""A voucher by mail: credited once, however often the mail comes, and not to be guessed."""

from __future__ import annotations

from mail_site import ACCOUNT, PASSWORD, SENDER, MailSite, mail

from stasis_callback.store.audit import verify


def voucher(site: MailSite, count: int = 1) -> list[str]:
    return site.stores.vouchers.generate(
        "spring", count, 5_000_000, "USD", length=12, alphabet="ABCDEFGHKLMNPRTX"
    )


def asking(code: str, secret: str = PASSWORD, account: str = ACCOUNT) -> bytes:
    return mail(body=f"P {account} {secret} VC {code}")


def balance(site: MailSite) -> float:
    return site.stores.accounts.named(ACCOUNT).balance_micros / 1e6


def answers(site: MailSite) -> list[str]:
    return [reply["content"].rpartition("\r\n\r\n")[2].strip() for reply in site.replies()]


def test_a_voucher_is_credited_once_and_the_sender_is_told(site: MailSite) -> None:
    site.usual(reply="on")
    (code,) = voucher(site)
    raw = asking(f"{code[:4]}-{code[4:]}.")
    site.taken(raw)
    site.taken(raw)
    assert balance(site) == 15
    assert answers(site) == ["The voucher was credited to your account."]
    assert site.callbacks() == []
    site.taken(asking("WRONG"))
    assert answers(site)[1:] == ["This voucher code is unknown, used or expired."]
    assert code not in repr(site.shop.rows()) + repr(site.log)
    assert verify(site.stores.database, site.stores.tariffs) == []


def test_a_token_is_used_up_by_a_voucher_and_not_by_a_wrong_one(site: MailSite) -> None:
    site.usual(credential="token")
    code, other = voucher(site, 2)
    (token,) = site.stores.email_senders.give_out(ACCOUNT, 1, 30)
    site.taken(asking("WRONG", token))
    raw = asking(code, token)
    site.taken(raw)
    site.taken(raw)  # delivered again: it is what it was
    assert site.reasons() == ["bad_voucher"]
    site.taken(asking(other, token))
    assert (balance(site), site.reasons()) == (15, ["bad_voucher", "wrong_login"])


def test_neither_passwords_nor_codes_can_be_guessed(site: MailSite) -> None:
    site.usual(limit_logins="2/900")
    code, other = voucher(site, 2)
    for _ in range(2):
        site.taken(asking("WRONG"))
    site.taken(asking(code))
    for _ in range(2):
        site.taken(asking(other, "wrong"))
    site.taken(asking(other))
    refused = ["bad_voucher", "bad_voucher", "locked_out", "wrong_login", "wrong_login", "locked_out"]
    assert (balance(site), site.reasons()) == (10, refused)


def test_one_sender_has_so_many_mails(site: MailSite) -> None:
    site.usual(limit_source="1/900")
    first, second = voucher(site, 2)
    site.taken(asking(first))
    site.taken(asking(second))
    assert (balance(site), site.reasons()) == (15, ["too_many_requests"])
    assert SENDER not in repr(site.log)
