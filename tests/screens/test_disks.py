"""A plan that erases two disks: each is shown, and each is typed, one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zrwizard.flows.moves import Enter
from zrwizard.wizard import Confirmed


def test_each_disk_is_typed_after_the_other(drive: Any, plan: Any, done: Any) -> None:
    second = replace(plan.disks[0], name="vtbd1", serial="ZRDISK0002", summary="a photo archive")
    both = replace(plan, disks=(*plan.disks, second))
    typed: list[Any] = []

    def work(desk: Any) -> Any:
        while len(typed) < 3:
            typed.append(desk.review(both))
        desk.ask(Enter("target.disk", "disk", "Which disk?", "Again."), None)
        return done

    async def story(d: Any) -> None:
        await d.see("Disk vtbd0, 8.0 GiB, serial ZRDISK0001")
        await d.see("serial ZRDISK0002, VirtIO disk. It holds: a photo archive")
        await d.press("c")
        await d.see("Disk 1 of 2. To erase vtbd0, type ZRDISK0001 and press Enter:")
        await d.snapshot("review-two-disks")
        # A wrong one ends it at once, and it begins with the first disk again.
        await d.type("ZRDISK0002")
        await d.press("enter")
        await d.see("(try 1 of 3)")
        await d.see("Disk 1 of 2.")
        await d.type("ZRDISK0001")
        await d.press("enter")
        await d.see("Disk 2 of 2. To erase vtbd1 and start, type ZRDISK0002 and press Enter:")
        await d.type("vtbd1")
        await d.press("enter")
        await d.see("(try 2 of 3)")
        await d.type("ZRDISK0001")
        await d.press("enter")
        await d.see("Disk 2 of 2.")
        # Leaving the line forgets what was typed.
        await d.press("escape")
        await d.until(lambda: "Disk 2 of 2." not in d.words, "the plan again")
        await d.press("c")
        await d.see("Disk 1 of 2.")
        await d.type("ZRDISK0001")
        await d.press("enter")
        await d.see("Disk 2 of 2.")
        await d.type("ZRDISK0002")
        await d.press("enter")
        await d.see("Which disk?")

    drive(work, story)
    assert typed == [
        Confirmed(("ZRDISK0002",)),
        Confirmed(("ZRDISK0001", "vtbd1")),
        Confirmed(("ZRDISK0001", "ZRDISK0002")),
    ]
    assert [both.confirmed_by(one.typed) for one in typed] == [False, False, True]


def test_many_disks_are_listed_at_the_head_of_the_plan(drive: Any, plan: Any, done: Any) -> None:
    serials = [f"ZRDISK{number:04}" for number in range(1, 6)]
    disks = tuple(
        replace(plan.disks[0], name=f"vtbd{n}", serial=serial) for n, serial in enumerate(serials)
    )
    typed: list[Any] = []

    def work(desk: Any) -> Any:
        typed.append(desk.review(replace(plan, disks=disks)))
        return done

    async def story(d: Any) -> None:
        await d.see("5 disks are erased; they are listed first.")
        for serial in serials:
            await d.see(f"serial {serial}")
        await d.press("c")
        for number, serial in enumerate(serials, 1):
            await d.see(f"Disk {number} of 5. ")
            await d.type(serial)
            await d.press("enter")
        await d.see("[Report]")

    drive(work, story)
    assert typed == [Confirmed(tuple(serials))]
