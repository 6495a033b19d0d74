"""Moving in from A2Billing and MagnusBilling: the dumps are made up, their tables as those systems have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import CommandLine
from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.admin.elsewhere.dumps import Row, rows
from stasis_callback.core.money import MICROS

CARD = (
    "id,expirationdate,enableexpire,username,credit,tariff,status,lastname,firstname,company_name,typepaid,"
    "creditlimit,language,simultaccess,currency"
)

A2BILLING = r"""-- MySQL dump 10.13
/*!40101 SET NAMES utf8 */;
DROP TABLE IF EXISTS `cc_callerid`;
CREATE TABLE `cc_callerid` (
  `id` bigint(20) NOT NULL auto_increment,
  `cid` varchar(100) collate utf8_bin NOT NULL,
  `id_cc_card` bigint(20) NOT NULL,
  `activated` char(1) collate utf8_bin NOT NULL default 't',
  PRIMARY KEY  (`id`),
  UNIQUE KEY `cons_cc_callerid_cid` (`cid`)
) ENGINE=MyISAM;
INSERT INTO `cc_callerid` VALUES (1,'00420777123456',1,'t'),(2,'601234567',1,'t'),(3,'anonymous',2,'t'),
 (4,'420777999888',2,'f'),(5,'+420777123456',2,'t');
INSERT INTO `cc_config` (`id`, `config_key`, `config_value`) VALUES (4, 'base_currency', 'usd');
INSERT INTO `cc_card` (CARD) VALUES
(1,'0000-00-00 00:00:00',0,'1111111111',12.34567,1,1,'O\'Neil; she said \"go\"',
'Ann','',0,0,'es',1,'EUR'),
(2,'2031-05-06 00:00:00',1,'2222222222','-3.50000',2,1,'','','Ltd ''Two'' (a)',1,20,'en',0,'USD'),
(3,'0000-00-00 00:00:00',0,'3333333333',-1.00000,1,6,'Petr','','',0,0,'xx',0,'USD'),
(4,'0000-00-00 00:00:00',0,'4444444444',9.00000,99,1,'','','',0,0,'en',0,'USD');
INSERT INTO `cc_speeddial` (`id`,`id_cc_card`,`phone`,`name`,`speeddial`) VALUES (1,1,'442079460958','Mum',1),
(2,1,'nobody','',2);
INSERT INTO `cc_ratecard` (`id`,`idtariffplan`,`dialprefix`,`buyrate`,`rateinitial`,`initblock`,`billingblock`,
`connectcharge`,`disconnectcharge`,`stopdate`,`starttime`,`endtime`,`chargea`,`minimal_cost`) VALUES
(1,1,'420',0.01000,0.06000,60,6,0.05000,0,'0000-00-00 00:00:00',0,10079,0,0),
(2,1,'44',0.02000,0.12000,0,0,0,0,'0000-00-00 00:00:00',0,10079,0,0),
(3,2,'44',0.01500,0.10000,1,1,0,0,'0000-00-00 00:00:00',0,10079,0,0),
(4,1,'33',0.01000,0.07000,1,1,0,0,'2019-01-01 00:00:00',0,10079,0,0),
(5,1,'39',0.01000,0.07000,1,1,0,0,'0000-00-00 00:00:00',480,1200,0,0),
(6,1,'defaultprefix',0.01000,0.07000,1,1,0,0,'0000-00-00 00:00:00',0,10079,0,0),
(7,9,'49',0.01000,0.07000,1,1,0,0,'0000-00-00 00:00:00',0,10079,0,0);
INSERT INTO `cc_tariffgroup` (`id`,`tariffgroupname`,`lcrtype`) VALUES (1,'Retail',0),(2,'Business',1),(3,'Unused',0);
INSERT INTO `cc_tariffgroup_plan` (`idtariffgroup`,`idtariffplan`) VALUES (1,1),(1,2),(2,1),(3,9);
""".replace("CARD", CARD)

MAGNUS = r"""
CREATE TABLE `pkg_prefix` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `prefix` varchar(18) NOT NULL,
  `destination` varchar(60) NOT NULL,
  PRIMARY KEY (`id`)
);
INSERT INTO `pkg_prefix` VALUES (1,'420','Czechia'),(2,'44','UK');
INSERT INTO `pkg_group_user` (`id`,`name`,`id_user_type`) VALUES (1,'Administrator',1),(7,'Clients of ours',3);
INSERT INTO `pkg_plan` (`id`,`name`) VALUES (1,'Home');
INSERT INTO `pkg_user` (`id`,`id_group`,`id_plan`,`username`,`credit`,`active`,`expirationdate`,`enableexpire`,
`lastname`,`firstname`,`typepaid`,`creditlimit`,`language`,`callingcard_pin`,`calllimit`) VALUES
(1,1,NULL,'root',0.0000,1,'0000-00-00 00:00:00',0,'','',0,0,'en',534123,-1),
(2,7,1,'ann',7.2500,1,'0000-00-00 00:00:00',0,'','Ann',0,0,'en',654321,3),
(3,7,1,'bob',-4.0000,0,'0000-00-00 00:00:00',0,'','Bob',1,10,'pt_BR',123456,-1);
INSERT INTO `pkg_callerid` (`id`,`cid`,`id_user`,`activated`) VALUES (1,'420777123456',2,'1');
INSERT INTO `pkg_rate` (`id`,`id_plan`,`id_prefix`,`rateinitial`,`initblock`,`billingblock`,`connectcharge`,
`disconnectcharge`,`minimal_time_charge`,`status`) VALUES (1,1,1,0.060000,30,6,0,0,0,1),
(2,1,2,0.120000,1,1,0.1,0,20,1),
(3,1,2,9.000000,1,1,0,0,0,0);
"""


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    file = tmp_path / "a2billing.sql"
    file.write_text(A2BILLING)
    return file


def test_a_business_comes_from_a2billing_with_its_money(cli: CommandLine, dump: Path) -> None:
    cli.ok("init")
    moved = cli.ok("move-in", "a2billing", dump, "--region", "CZ")
    assert "in the dump: 3 accounts with 8.84567 USD" in moved.out
    assert "here now:    3 accounts (3 new) with 8.84567 USD" in moved.out
    with cli.stores() as stores:
        ann, two, petr = (
            stores.accounts.named(number) for number in ("1111111111", "2222222222", "3333333333")
        )
        assert ann.customer == 'Ann O\'Neil; she said "go" (1111111111)'
        assert (ann.balance_micros, ann.language, ann.simultaneous_calls) == (12_345_670, "es", 10)
        assert sorted(stores.accounts.aliases(ann.id)) == ["420601234567", "420777123456"]
        assert stores.accounts.speed_dials(ann.id) == {"1": "442079460958"}
        assert two.customer == "Ltd 'Two' (a) (2222222222)"
        assert (two.kind, two.balance_micros, two.credit_limit_micros) == ("credit", -3_500_000, 20 * MICROS)
        assert (petr.status, petr.balance_micros) == ("blocked", 0)
        retail = {rate.rate.prefix: rate.rate for rate in stores.tariffs.rates("Retail")}
        business = {rate.rate.prefix: rate.rate for rate in stores.tariffs.rates("Business")}
    assert retail.keys() == business.keys() == {"420", "44"}
    assert (retail["420"].connect_fee_micros, retail["420"].first_price_micros) == (50_000, 60_000)
    assert (retail["420"].first_interval_s, retail["420"].next_interval_s) == (60, 6)
    # Two ratecards of the plan have it: A2Billing takes the one that it buys cheapest.
    assert (retail["44"].first_price_micros, business["44"].first_price_micros) == (100_000, 120_000)
    for what in (
        "without a call plan",
        "debt of 1.00 USD",
        "have ended",
        "some hours of the week",
        "another account has",
    ):
        assert what in moved.out, (what, moved.out)
    assert cli.ok("ledger", "verify").code == 0


def test_moving_twice_moves_nothing_twice_and_takes_who_is_new(cli: CommandLine, dump: Path) -> None:
    cli.ok("init")
    dump.write_text(A2BILLING.replace("9.00000,99,1", "9.00000,98,1"))
    cli.ok("move-in", "a2billing", dump)
    dump.write_text(A2BILLING.replace("9.00000,99,1", "9.00000,1,1"))
    again = cli.ok("move-in", "a2billing", dump)
    assert "here now:    4 accounts (1 new) with 17.84567 USD" in again.out


def test_a_dry_run_changes_nothing(cli: CommandLine, dump: Path) -> None:
    cli.ok("init")
    before = cli.dump()
    assert "nothing was changed" in cli.ok("move-in", "a2billing", dump, "--dry-run").out
    assert cli.dump() == before


def left_out(cli: CommandLine, *words: str | Path) -> list[str]:
    """What one dry run says that it would leave out, which has to be what the move leaves out."""
    runs = [cli("move-in", *words, *last) for last in (["--dry-run"], [])]
    assert [run.code for run in runs] == [0, 0], runs
    dry, moved = ([line for line in one.out.splitlines() if line.startswith("left out")] for one in runs)
    assert dry == moved
    return dry


BAD_RATES = (
    "(8,1,'00420',0.01,0.06,60,6,0,0,'',0,10079,0,0),(9,1,'4930',0.01,-1,60,6,0,0,'',0,10079,0,0),"
    "(10,1,'4931',0.01,1e-2,60,6,0,0,'',0,10079,0,0),(11,1,'4932',0.01,1,7200,6,0,0,'',0,10079,0,0),"
    "(12,1,'4933',0.01,1,'x',6,0,0,'',0,10079,0,0),(13,1,'4934','y',1,1,6,0,0,'',0,10079,0,0),"
    "(7,9,'49'"
)


def test_rows_that_cannot_be_used_are_named_and_the_rest_is_moved(cli: CommandLine, dump: Path) -> None:
    cli.ok("init")
    text = A2BILLING.replace("(7,9,'49'", BAD_RATES).replace("1111111111',12.34567", "1111111111','1e3'")
    dump.write_text(text)
    said = "\n".join(left_out(cli, "a2billing", dump, "--region", "CZ"))
    for what in (
        "cc_ratecard row 8: '00420' is not a prefix",
        "cc_ratecard row 9: first price must be 0 to",
        "cc_ratecard row 10: '1e-2' is not an amount",
        "cc_ratecard row 11: first interval of 7200 s is invalid",
        "cc_ratecard row 12: 'x' is not a whole number",
        "cc_ratecard row 13: 'y' is not an amount",
        "cc_card row 1: '1e3' is not an amount",
    ):
        assert what in said, (what, said)
    with cli.stores() as stores:
        assert {rate.rate.prefix for rate in stores.tariffs.rates("Retail")} == {"420", "44"}
        assert stores.accounts.find("1111111111") is None
        assert stores.accounts.named("3333333333").product == "Retail"


def test_bad_rows_of_magnusbilling_are_named_too(cli: CommandLine, tmp_path: Path) -> None:
    cli.ok("init")
    file = tmp_path / "magnus.sql"
    bad = MAGNUS.replace("(2,'44','UK')", "(2,'44','UK'),(3,'0044','UK')").replace(
        "(3,1,2,9.000000,1,1,0,0,0,0);", "(3,1,3,9.000000,1,1,0,0,0,1),(4,1,1,-1,1,1,0,0,0,1);"
    )
    file.write_text(bad.replace("534123,-1)", "534123,-1),\n(4,7,1,'eve',1e2,1,'',0,'','',0,0,'en','',1)"))
    said = "\n".join(left_out(cli, "magnusbilling", file, "--currency", "EUR"))
    for what in ("pkg_rate row 3: '0044'", "pkg_rate row 4: first price", "pkg_user row 4: '1e2'"):
        assert what in said, (what, said)
    assert {one["number"] for one in cli.ok("account", "list", "--json").json} == {"ann", "bob"}


def test_who_has_no_place_here_is_said_by_the_dry_run_too(cli: CommandLine, dump: Path) -> None:
    cli.ok("init")
    for words in (
        ("tariff", "add", "Business", "--currency", "EUR"),
        ("tariff", "add", "ours", "--currency", "USD"),
        ("product", "add", "ours", "--tariff", "ours"),
        ("customer", "add", "Ours", "--currency", "USD"),
        ("account", "add", "420777123456", "--customer", "Ours", "--product", "ours"),
        ("account", "add", "3333333333", "--customer", "Ours", "--product", "ours"),
    ):
        cli.ok(*words)
    # The first card has itself as a caller id, and a speed dial that is never called.
    text = A2BILLING.replace("'601234567',1,", "'1111111111',1,").replace("'nobody'", "'112'")
    dump.write_text(text.replace("9.00000,99,1", "9.00000,1,1").replace("4444444444", "no id"))
    said = "\n".join(left_out(cli, "a2billing", dump))
    for what in (
        "tariff 'Business': there is one of this name already, in EUR",
        "2222222222: its tariff 'Business' has no rates that can be moved",
        "3333333333: there is an account of this name already",
        "no id: 'no id' is not a valid account id",
        "another account has, or this one twice",
        "speed dials that are not",
    ):
        assert what in said, (what, said)
    with cli.stores() as stores:
        moved = stores.accounts.named("1111111111")
        assert (moved.balance_micros, stores.accounts.aliases(moved.id)) == (12_345_670, [])
        assert stores.tariffs.rates("Business") == []
    assert cli.ok("ledger", "verify").code == 0


def test_thousands_of_bad_rows_are_counted(cli: CommandLine, dump: Path) -> None:
    cli.ok("init")
    rates = ",".join(f"({n},1,'00{n}',0,0,1,1,0,0,'',0,10079,0,0)" for n in range(100, 1100))
    dump.write_text(A2BILLING.replace("(7,9,'49'", f"{rates},(7,9,'49'"))
    said = left_out(cli, "a2billing", dump)
    assert "left out: 900 x further rows of cc_ratecard with values that cannot be used" in said
    assert len(said) < 120


def test_a_business_comes_from_magnusbilling(cli: CommandLine, tmp_path: Path) -> None:
    cli.ok("init")
    file = tmp_path / "magnus.sql"
    file.write_text(MAGNUS)
    assert "--currency" in cli.refused("move-in", "magnusbilling", file)
    moved = cli.ok("move-in", "magnusbilling", file, "--currency", "EUR")
    assert "here now:    2 accounts (2 new) with 3.25 EUR" in moved.out
    with cli.stores() as stores:
        ann, bob = stores.accounts.named("ann"), stores.accounts.named("bob")
        assert sorted(stores.accounts.aliases(ann.id)) == ["420777123456", "654321"]
        assert (ann.simultaneous_calls, bob.status, bob.credit_limit_micros) == (3, "blocked", 10 * MICROS)
        rates = {rate.rate.prefix: rate.rate for rate in stores.tariffs.rates("Home")}
    assert (rates["420"].first_interval_s, rates["44"].connect_fee_micros) == (30, 100_000)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no rows of cc_card"),
        ("INSERT INTO `cc_card` (`id`) VALUES (1", "cut off"),
        ("INSERT INTO `cc_card` VALUES (1,2);\n", "export the structure"),
        ("INSERT INTO `cc_card` (`id`) VALUES (1 2);\n", "cannot be read"),
    ],
)
def test_what_is_no_dump_is_refused(cli: CommandLine, tmp_path: Path, text: str, sentence: str) -> None:
    cli.ok("init")
    file = tmp_path / "dump.sql"
    file.write_text(text)
    assert sentence in cli.refused("move-in", "a2billing", file)


def test_a_folder_of_csv_files_will_do(tmp_path: Path) -> None:
    (tmp_path / "cc_card.csv").write_text('id,username\n1,"a,b"\n')
    assert list(rows(tmp_path, ("cc_callerid", "cc_card"))) == [("cc_card", {"id": "1", "username": "a,b"})]


def test_a_dump_of_postgresql_is_read(tmp_path: Path) -> None:
    file = tmp_path / "dump.sql"
    file.write_text(
        "COPY public.cc_card (id, username, email) FROM stdin;\n1\ta\\tb\t\\N\n2\tc\t\n\\.\n\nSELECT 1;\n"
    )
    assert [row for _, row in rows(file, ("cc_card",))] == [
        {"id": "1", "username": "a\tb", "email": ""},
        {"id": "2", "username": "c", "email": ""},
    ]


def as_mysql(value: str) -> str:
    for one, written in (
        ("\\", "\\\\"),
        ("'", "\\'"),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\0", "\\0"),
        ("\x1a", "\\Z"),
    ):
        value = value.replace(one, written)
    return f"'{value}'"


ANY_TEXT = st.text(st.characters(codec="utf-8"))


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1))
def test_whatever_the_values_are_they_come_out_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[str, str]]
) -> None:
    file = tmp_path_factory.mktemp("dump") / "dump.sql"
    tuples = ",".join(f"({as_mysql(one)},{as_mysql(two)})" for one, two in values)
    file.write_text(f"INSERT INTO `t` (`one`,`two`) VALUES {tuples};\n", newline="")
    expected: list[Row] = [{"one": one, "two": two} for one, two in values]
    assert [row for _, row in rows(file, ("t",))] == expected
