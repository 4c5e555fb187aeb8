"""Keep artifacts and a flow on Dropbox by the preset, which knows Dropbox's requests.

Run it with an access token in the environment variable DBOX_OAUTH2_TOKEN, which is where the preset
looks unless `token` says otherwise. The bytes of each transfer are compared by Dropbox's own hash;
the requests that list, ask and delete are the preset's too.
"""

from __future__ import annotations

from webhook_storage import Storage
from webhook_storage_presets.dropbox import Dropbox


def mean(numbers: list[float]) -> float:
    """Return the mean: the flow that is stored here."""
    return sum(numbers) / len(numbers)


def main() -> None:
    """Store bytes and a flow, look at them, fetch them, and clean up."""
    reports = Dropbox(path="/Apps/reports/${artifact.key}")
    receipt = reports.put(b"week,total\n34,1200\n", key="2026/week 34.csv")
    print("stored", receipt.size, "bytes as revision", receipt.version)
    print("there are", reports.list())
    print(reports.get(receipt).decode())
    reports.delete(receipt)
    print("still there:", reports.exists("2026/week 34.csv"))

    flows = Dropbox(path="/Apps/flows/${flow.slug}.flow")
    flows.add_flow(mean)
    definition = flows.build().to_json()
    print(definition)
    print("mean:", Storage.from_json(definition).get_flow("mean")([1.0, 2.0, 6.0]))


if __name__ == "__main__":
    main()
