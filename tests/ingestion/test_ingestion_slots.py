"""Who waits for whom: sites that take long are not in the way of others, and nothing that waits is lost."""

from __future__ import annotations

import signal

import made_files
import web_site
from waiting import until
from worker_rig import Rig

from kit.clock import new_id


async def test_sites_that_stall_hold_up_neither_files_nor_deletions(rig: Rig) -> None:
    first, second, file, gone, text = (new_id("src") for _ in range(5))
    blob = await rig.blob(file, made_files.pdf("Parrots repeat what they hear."))
    rig.settings["RUNMETER_INGESTION_FETCH_TIMEOUT_MS"] = "600000"
    async with web_site.running() as site:
        await rig.start()
        await rig.ask(gone, blob=await rig.blob(gone, b"Our office is in Oslo."))
        await rig.ended(gone)
        site.partly["/"] = (0, "stall")
        for source_id in (first, second):
            await rig.ask(source_id, kind="site", url=site.url(), max_pages=2, max_depth=1)
        await until(lambda: "/" in site.asked, "a site stalls")

        await rig.ask(text, kind="text", blob=await rig.blob(text, b"Words."))
        await rig.ask(file, kind="upload", blob=blob)
        await rig.ask(gone, 2, action="delete")

        assert (await rig.ended(text)).status == "ready"
        assert (await rig.ended(file)).status == "ready"
        assert (await rig.ended(gone, 2)).status == "deleted"
        assert site.asked.count("/") == 1  # the other site left the slot to them

        await rig.end(signal.SIGKILL)
        site.partly.clear()
        site.add("/", "Parrots " * 50)
        await rig.start()

        # Neither the one that had begun nor the one that waited was committed.
        assert (await rig.ended(first)).status == "ready"
        assert (await rig.ended(second)).status == "ready"
        await rig.settled()


async def test_a_deletion_needs_no_slot(rig: Rig) -> None:
    gone, slow = new_id("src"), new_id("src")
    rig.settings |= {
        "RUNMETER_INGESTION_FETCH_TIMEOUT_MS": "600000",
        "RUNMETER_INGESTION_CONCURRENCY": "1",
    }
    async with web_site.running() as site:
        await rig.start()
        await rig.ask(gone, blob=await rig.blob(gone, b"Our office is in Oslo."))
        await rig.ended(gone)
        site.partly["/"] = (0, "stall")
        await rig.ask(slow, kind="url", url=site.url())
        await until(lambda: "/" in site.asked, "the only slot is taken")

        waits = new_id("src")
        await rig.ask(waits, blob=await rig.blob(waits, b"Words."))
        await rig.ask(gone, 2, action="delete")
        assert (await rig.ended(gone, 2)).status == "deleted"

        # A newer request takes the place of what is worked on, and of what waits.
        await rig.ask(waits, 2, action="delete")
        await rig.ask(slow, 2, action="delete")
        assert (await rig.ended(waits, 2)).status == "deleted"
        assert (await rig.ended(slow, 2)).status == "deleted"
        await rig.settled()
        assert rig.rows(waits) == 0
