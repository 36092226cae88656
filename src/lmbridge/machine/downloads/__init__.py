"""Getting GGUF models from the Hugging Face hub.

`names` understands what a person writes, `choice` picks the files, `huggingface` asks the hub over `connections`,
`transfer` gets one file, `shelf` says where files lie and whose turn it is, `work` is all of it, `child` the
process that it runs in; `errand` starts that process from asyncio, passes its news on and ends it. `order` is what
the two say to each other.

Why a process: leaving the `await` must stop the download at once, and neither a thread nor a name look-up that
hangs can be stopped; hashing and writing at the speed of a good line would slow the event loop of a gateway; and
killing is the same as losing power, so there is one way to be interrupted and one to go on.

Why not the library `huggingface_hub`: its 2.4 writes every attempt into a file of a random name and deletes it
when the attempt fails (`file_download._download_to_tmp_and_move`), so nothing is resumed; it compares sizes, no
hashes; it warns of a full disk and goes on; and it brings nine packages, one of them native. What is needed here
are three routes and one header, which the standard library asks for through proxies and with the certificates of
the system. `clients.http` does neither proxies nor redirects, on purpose.
"""

from lmbridge.machine.downloads.errand import download
from lmbridge.machine.downloads.order import Account, Limits, Order

__all__ = ["Account", "Limits", "Order", "download"]
