"""ethtool: counters (-S), ring sizes (-g), queues (-l), offloads (-k) and driver (-i) of one interface.

When IRQs are raised and how flows find their queue is in ethtool_flows.py.

Source: ethtool 6.1 (ethtool.c, netlink/{stats,rings,channels,features}.c), ethtool(8). A driver that lacks one of these
makes ethtool print nothing but an error: that is no output to parse.
"""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import COUNT, Lines


class StatRow(TypedDict):
    """One counter of the card or its driver.

    name: the driver's own ("rx_queue_0_drops"); they differ from driver to driver
    count: usually since the driver was loaded
    """

    name: str
    count: int


class SettingRow(TypedDict):
    """One ring size or number of queues.

    setting: "RX", "TX", "Combined" ...
    maximum: the most that the card can do; None when the card has no such thing ("n/a") or it is no number
    current: now; None likewise. Old ethtool prints 0 for "n/a"
    """

    setting: str
    maximum: int | None
    current: int | None


class FeatureRow(TypedDict):
    """One offload.

    feature: its name; several kernel features may stand under one heading ("tx-checksumming")
    parent: the heading it stands under, or None
    on: whether it works now
    fixed: whether the driver allows no change
    requested: what was asked for where that differs from `on`, else None
    """

    feature: str
    parent: str | None
    on: bool
    fixed: bool
    requested: bool | None


class DriverRow(TypedDict):
    """What drives the interface; "" and "N/A" are as ethtool prints them.

    driver, version, firmware_version, expansion_rom_version, bus_info: text
    supports_statistics, supports_test, supports_eeprom_access, supports_register_dump, supports_priv_flags: yes or no
    """

    driver: str
    version: str
    firmware_version: str
    expansion_rom_version: str
    bus_info: str
    supports_statistics: bool
    supports_test: bool
    supports_eeprom_access: bool
    supports_register_dump: bool
    supports_priv_flags: bool


def parse_stats(text: str) -> list[StatRow]:
    """`ethtool -S`: one row per counter. Drivers differ in what they have: a cut at a line's end goes unnoticed."""
    lines = Lines("ethtool", text)
    lines.take(r"NIC statistics: *", "'NIC statistics:'")
    rows = []
    while lines:
        match = lines.take(rf"\s+(?P<name>\S.*?): (?P<count>{COUNT})", "a counter")
        rows.append(StatRow(name=match["name"], count=int(match["count"])))
    if not rows:
        lines.fail("expected a counter")
    return rows


def parse_ring(text: str) -> list[SettingRow]:
    """`ethtool -g`: one row per size; RX, RX Mini, RX Jumbo, TX always, more with newer kernels."""
    return _settings(text, "Ring", ("RX", "RX Mini", "RX Jumbo", "TX"))


def parse_channels(text: str) -> list[SettingRow]:
    """`ethtool -l`: RX, TX, Other and Combined queues. One queue for both directions counts as Combined."""
    return _settings(text, "Channel", ("RX", "TX", "Other", "Combined"))


def parse_features(text: str) -> list[FeatureRow]:
    """`ethtool -k`: one row per feature. Kernels differ in what they have: a cut at a line's end goes unnoticed."""
    lines = Lines("ethtool", text)
    lines.take(r"Features for \S+:", "'Features for ...'")
    rows: list[FeatureRow] = []
    heading = None
    while lines:
        match = lines.take(
            r"(?P<indent>\t?)(?P<name>[A-Za-z][\w.-]*): (?P<on>on|off)"
            r"(?P<fixed> \[fixed\])?( \[requested (?P<wish>on|off)\])?",
            "a feature that is on or off",
        )
        if not match["indent"]:
            heading = match["name"]
        elif heading is None:
            lines.fail("the line before is indented but has no heading")
        rows.append(
            FeatureRow(
                feature=match["name"],
                parent=heading if match["indent"] else None,
                on=match["on"] == "on",
                fixed=match["fixed"] is not None,
                requested=None if match["wish"] is None else match["wish"] == "on",
            )
        )
    if not rows:
        lines.fail("expected a feature")
    return rows


def parse_driver(text: str) -> list[DriverRow]:
    """`ethtool -i`: one row."""
    lines = Lines("ethtool", text)

    def value(name: str) -> str:
        return lines.take(rf"{name}: (?P<value>.*)", name)["value"]

    def yes(name: str) -> bool:
        return lines.take(rf"{name}: (?P<value>yes|no)", f"{name}: yes or no")["value"] == "yes"

    row = DriverRow(
        driver=value("driver"),
        version=value("version"),
        firmware_version=value("firmware-version"),
        expansion_rom_version=value("expansion-rom-version"),
        bus_info=value("bus-info"),
        supports_statistics=yes("supports-statistics"),
        supports_test=yes("supports-test"),
        supports_eeprom_access=yes("supports-eeprom-access"),
        supports_register_dump=yes("supports-register-dump"),
        supports_priv_flags=yes("supports-priv-flags"),
    )
    lines.end()
    return [row]


def _settings(text: str, what: str, always: tuple[str, ...]) -> list[SettingRow]:
    """The two blocks of -g and -l. Settings that are words (on, off) have no number: both columns are None."""
    lines = Lines("ethtool", text)
    lines.take(rf"{what} parameters for \S+:", f"'{what} parameters for ...'")
    lines.take(r"Pre-set maximums: *", "'Pre-set maximums:'")
    maximum = _block(lines, always)
    lines.take(r"Current hardware settings: *", "'Current hardware settings:'")
    current = _block(lines, always)
    lines.take_if("")  # older ethtool ends in an empty line
    lines.end()
    names = [*maximum, *(name for name in current if name not in maximum)]
    return [SettingRow(setting=name, maximum=maximum.get(name), current=current.get(name)) for name in names]


def _block(lines: Lines, always: tuple[str, ...]) -> dict[str, int | None]:
    values: dict[str, int | None] = {}
    while match := lines.take_if(rf"(?P<name>[A-Z][\w ]*):\s+((?P<value>{COUNT})|n/a|on|off)"):
        values[match["name"]] = None if match["value"] is None else int(match["value"])
    missing = [name for name in always if name not in values]
    if missing:
        lines.fail(f"expected {missing[0]}")
    return values
