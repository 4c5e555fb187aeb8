"""Presets each of which breaks one promise of the contract."""

from __future__ import annotations

import json
import logging
import sys
import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from tests.unit.shelf import LARGEST, LIST, Shelf, ShelfUpload
from webhook_storage.artifact import BytesBody
from webhook_storage.contracts import (
    PLAIN,
    Body,
    Exchange,
    Facts,
    Request,
    Response,
    Sink,
    StoreOptions,
    Wanted,
    Work,
)
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    ObjectExistsError,
    ObjectNotFoundError,
    ServerError,
    TooLargeError,
)
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.upload import Tags, in_parts

if TYPE_CHECKING:
    from webhook_storage import Webhook
    from webhook_storage.flows import Trust
    from webhook_storage.secret import SecretValue
    from webhook_storage.storage import Names

STATE: dict[str, Any] = {}
"""What a preset keeps in this process and must not; a test clears it."""


# --- in and out -----------------------------------------------------------------------------------


class ForgetsTheKey(Shelf):
    def receipt(self, body: Body, facts: Facts, response: Response) -> Receipt:
        return super().receipt(body, facts, response).model_copy(update={"key": ""})


class MiscountsBytes(Shelf):
    def receipt(self, body: Body, facts: Facts, response: Response) -> Receipt:
        return super().receipt(body, facts, response).model_copy(update={"size": 1})


class MistakesTheDigest(Shelf):
    def receipt(self, body: Body, facts: Facts, response: Response) -> Receipt:
        return super().receipt(body, facts, response).model_copy(update={"sha256": "0" * 64})


class AddsALine(Shelf):
    """What comes back is not what was stored."""

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        response = yield from super().fetch_exchange(facts, sink)
        sink.write(b"\n")
        return response


class FetchesByKeyOnly(Shelf):
    """Who has a receipt gets something else."""

    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        response = yield from super().fetch_exchange(facts, sink)
        if "receipt.sha256" in facts:
            sink.write(b"\n")
        return response


class KnowsNothing(Shelf):
    """Nothing is ever there."""

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        yield from super().stat_exchange(facts)
        return None


class SaysThatNothingExists(Shelf):
    def exists(self, key: str | Receipt | None = None) -> bool:
        return False


class SaysAnotherSize(Shelf):
    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        found = yield from super().stat_exchange(facts)
        return found and found.model_copy(update={"size": 3})


class GivesReceiptsWithAClient(Shelf):
    """A receipt holds more than its JSON."""

    def receipt(self, body: Body, facts: Facts, response: Response) -> Receipt:
        found = super().receipt(body, facts, response).model_dump()
        return _OwnReceipt(**found, attempts=response.attempts)


class _OwnReceipt(Receipt):
    attempts: int


class FetchesByItsOwnReceiptsOnly(Shelf):
    """A receipt that was kept elsewhere leads nowhere."""

    def receipt(self, body: Body, facts: Facts, response: Response) -> Receipt:
        found = super().receipt(body, facts, response)
        STATE.setdefault("receipts", []).append(found)
        return found

    def get(self, key: str | Receipt | None = None, *, max_bytes: int | None = None) -> bytes:
        if isinstance(key, Receipt) and all(key is not each for each in STATE["receipts"]):
            return b""
        return super().get(key, max_bytes=max_bytes)


class LeaksIntoReceipts(Shelf):
    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        receipt = yield from super().store_exchange(body, facts, options)
        token = yield from _token(self)
        return receipt.model_copy(update={"captures": {"by": token}})


class DeletesByKeyOnly(Shelf):
    def delete(self, key: str | Receipt | None = None) -> None:
        if not isinstance(key, Receipt):
            super().delete(key)


class FetchesOtherwiseInALoop(Shelf):
    async def aget(
        self, key: str | Receipt | None = None, *, max_bytes: int | None = None
    ) -> bytes:
        return b""


class KnowsNothingInALoop(Shelf):
    async def aexists(self, key: str | Receipt | None = None) -> bool:
        return False


class DeletesNothingInALoop(Shelf):
    async def adelete(self, key: str | Receipt | None = None) -> None:
        pass


class NeverReplaces(Shelf):
    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        found = yield from super().stat_exchange(facts)
        if found is None or options.conditional:
            return (yield from super().send(body, facts, options))
        response: Response = yield self.request("HEAD", facts)
        return response


class SharesADigest(Shelf):
    """Of two that are stored at once both have the receipt of the later one."""

    def receipt(self, body: Body, facts: Facts, response: Response) -> Receipt:
        STATE["receipt"] = super().receipt(body, facts, response)
        _wait_for_another()
        kept: Receipt = STATE["receipt"]
        return kept.model_copy(update={"key": facts.get("artifact.key", "")})


class SwapsHalves(Shelf):
    """Of two that are stored at once each has the beginning of the other."""

    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        content = b"".join(body.chunks())
        half = content[: len(content) // 2]
        halves: list[bytes] = STATE.setdefault(facts["artifact.key"], [])
        halves.append(half)
        yield Work(_wait_for_another)
        (other,) = (each for each in halves if each is not half)
        whole = BytesBody(other + content[len(half) :])
        return (yield from super().send(whole, facts, options))


class RefusesBoth(Shelf):
    """Of two that come at once each is told that the other was first."""

    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        yield Work(_wait_for_another)
        yield from super().send(body, facts, options)
        raise ConflictError("somebody else stores the same")


class LeavesNothingOut(Shelf):
    """Nothing is nothing to store."""

    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        if body.size:
            return (yield from super().send(body, facts, options))
        return Response(status=204, headers={})


class PadsNothing(Shelf):
    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        return (yield from super().send(body if body.size else BytesBody(b"\0"), facts, options))


class CountsNothingAsOne(Shelf):
    def receipt(self, body: Body, facts: Facts, response: Response) -> Receipt:
        found = super().receipt(body, facts, response)
        return found.model_copy(update={"size": body.size or 1})


class TakesNothingForMissing(Shelf):
    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        found = yield from super().stat_exchange(facts)
        return found if found and found.size else None


class MiscountsDownloads(Shelf):
    def download(self, path: Any, key: str | Receipt | None = None) -> int:
        return super().download(path, key) + 1


class DownloadsText(Shelf):
    """A file is not as it was."""

    def download(self, path: Any, key: str | Receipt | None = None) -> int:
        written = super().download(path, key)
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
        return written


class ForgetsFlows(Shelf):
    """A definition does not say where its flows are."""

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_dict().items() if name != "receipts"}


class LoadsAnotherFlow(Shelf):
    def get_flow(self, name: str, *, trust: Trust = "verified") -> Any:
        flow = super().get_flow(name, trust=trust)
        return lambda: flow() + 1


class StoresElsewhereAsAWebhook(Shelf):
    def as_webhook(self) -> Webhook:
        webhook = super().as_webhook()
        url = webhook.build_request_kwargs["url"]
        webhook.build_request_kwargs = {**webhook.build_request_kwargs, "url": f"{url}.bin"}
        return webhook


class FetchesElsewhereAsAWebhook(Shelf):
    """And something is there."""

    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        yield self.request("PUT", facts, ".bin", body=BytesBody(b"another"))
        return (yield from super().send(body, facts, options))

    def as_webhook(self) -> Webhook:
        webhook = super().as_webhook()
        kwargs = webhook.get_flow_request_kwargs
        webhook.get_flow_request_kwargs = {**kwargs, "url": f"{kwargs['url']}.bin"}
        return webhook


class LeaksIntoItsWebhook(Shelf):
    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        receipt = yield from super().store_exchange(body, facts, options)
        STATE["webhook"].labels = [(yield from _token(self))]
        return receipt

    def as_webhook(self) -> Webhook:
        STATE["webhook"] = super().as_webhook()
        webhook: Webhook = STATE["webhook"]
        return webhook


# --- keys -----------------------------------------------------------------------------------------


class TakesPlusForABlank(Shelf):
    def request(self, method: str, facts: Facts, query: str = "", **more: Any) -> Request:
        key = facts.get("artifact.key", "").replace("a+b", "a b").replace("with space", "a b")
        return super().request(method, {**facts, "artifact.key": key}, query, **more)


class ListsWhatUrlsSay(Shelf):
    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        return [key.replace(" ", "%20") for key in (yield from super().list_exchange(facts))]


class ListsTwice(Shelf):
    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        return (yield from super().list_exchange(facts)) * 2


class TakesAnyKey(Shelf):
    """What no service keeps is sent to it."""

    def request(self, method: str, facts: Facts, query: str = "", **more: Any) -> Request:
        key = facts.get("artifact.key", "").replace("\n", "").replace("\0", "").replace("..", "")
        return super().request(method, {**facts, "artifact.key": key}, query, **more)


class LooksAtKeysLater(Shelf):
    """It is refused when it was stored."""

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        key = facts.get("artifact.key", "")
        plain = "".join(char for char in key if char.isalnum())
        yield from super().store_exchange(body, {**facts, "artifact.key": plain}, options)
        return (yield from super().store_exchange(body, facts, options))


class RefusesInTwoLines(Shelf):
    def request(self, method: str, facts: Facts, query: str = "", **more: Any) -> Request:
        try:
            return super().request(method, facts, query, **more)
        except ConfigurationError as error:
            message = f"this is no key:\n{error}"
        raise ConfigurationError(message)


# --- what is not there ----------------------------------------------------------------------------


class SaysThatAllExist(Shelf):
    def exists(self, key: str | Receipt | None = None) -> bool:
        return True


class KnowsEverything(Shelf):
    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        return (yield from super().stat_exchange(facts)) or Stat()


class FetchesWhatIsMissing(Shelf):
    def fetch_exchange(self, facts: Facts, sink: Sink) -> Exchange[Response]:
        response = yield self.request("GET", facts, sink=sink, returns=frozenset({404}))
        return response  # type: ignore[no-any-return]


class DeletesWhatIsMissing(Shelf):
    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        yield self.request("DELETE", facts, returns=frozenset({404}))


class DeletesNothing(Shelf):
    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        yield self.request("HEAD", facts)


class DeletesByPrefix(Shelf):
    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        yield from super().delete_exchange(facts)
        for key in (yield from super().list_exchange({})):
            if key.startswith(facts["artifact.key"]):
                yield from super().delete_exchange({"artifact.key": key})


class ListsWhatWas(Shelf):
    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        known: list[str] = STATE.setdefault("known", [])
        known += [key for key in (yield from super().list_exchange(facts)) if key not in known]
        return list(known)

    def delete_exchange(self, facts: Facts) -> Exchange[None]:
        yield from self.list_exchange({})
        yield from super().delete_exchange(facts)


# --- conditions -----------------------------------------------------------------------------------


class IgnoresIfAbsent(Shelf):
    def conditions(self, options: StoreOptions) -> dict[str, str]:
        return {} if options.if_absent else super().conditions(options)


class IgnoresVersions(Shelf):
    def conditions(self, options: StoreOptions) -> dict[str, str]:
        return super().conditions(options) if options.if_absent else {}


class IsAlwaysInTheWay(Shelf):
    """No version is the one that was to be replaced."""

    def conditions(self, options: StoreOptions) -> dict[str, str]:
        return super().conditions(options) if options.if_version is None else {"If-Match": '"0"'}


class SaysThatItReplaces(Shelf):
    """A version that is there is said to be replaced, and is not."""

    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        found = yield from self.stat_exchange(facts)
        if found is not None and found.version == options.if_version:
            return Response(status=204, headers={"etag": '"0"'})
        return (yield from super().send(body, facts, options))


class RefusesTooLate(Shelf):
    """What is refused was stored all the same."""

    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        if not options.conditional:
            return (yield from super().send(body, facts, options))
        found = yield from self.stat_exchange(facts)
        response = yield from super().send(body, facts, PLAIN)
        if options.if_absent and found is not None:
            raise ObjectExistsError("it is there")
        if options.if_version is not None and found and found.version != options.if_version:
            raise ConflictError("it is another version")
        return response


class RefusesConditionsTooLate(Shelf):
    """What its service cannot hold is stored all the same."""

    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        response = yield from super().send(body, facts, PLAIN)
        if options.conditional:
            raise ConfigurationError("the service cannot hold it")
        return response


# --- credentials and places -----------------------------------------------------------------------


class AsksNobody(Shelf):
    """Who may not look is told that nothing is there."""

    hidden: int = 401

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        returns = frozenset({404, self.hidden})
        response: Response = yield self.request("HEAD", facts, returns=returns)
        if response.status in returns:
            return None
        size = int(response.headers["content-length"])
        return Stat(size=size, version=response.headers["etag"])


class HidesWhatIsForbidden(AsksNobody):
    hidden: int = 403


class ListsNothingWithoutARight(Shelf):
    def list_exchange(self, facts: Facts) -> Exchange[Names]:
        request = self.request("GET", facts, LIST, returns=frozenset({401}))
        response: Response = yield request
        return json.loads(response.body) if response.body else []


class StoresBeforeItAsks(Shelf):
    """It keeps a credential, and does with it what another one may not."""

    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        kept = STATE.setdefault("token", (yield from _token(self)))
        kept_storage = Shelf(bucket=self.bucket, token=kept)
        response = yield from kept_storage.send(body, facts, options)
        yield from super().stat_exchange(facts)
        return response


class StoresNowhere(Shelf):
    """Where there is no bucket, nothing is stored and nothing said."""

    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        try:
            return (yield from super().send(body, facts, options))
        except ObjectNotFoundError:
            return Response(status=204, headers={})


class TellsInTwoLines(Shelf):
    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        try:
            return (yield from super().send(body, facts, options))
        except ObjectNotFoundError:
            raise ObjectNotFoundError("there is no\nsuch bucket", hint="make it") from None


class GivesNoHint(Shelf):
    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        try:
            return (yield from super().send(body, facts, options))
        except ObjectNotFoundError as error:
            error.hint = None
            raise


# --- large ones, and trouble ----------------------------------------------------------------------


class _Upload(ShelfUpload):
    def order(self, tags: Tags) -> list[int]:
        return sorted(tags, reverse=True)


class TurnsPartsRound(Shelf):
    """What came first is last."""

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        if not self.parts_above < body.size <= LARGEST:
            return (yield from super().store_exchange(body, facts, options))
        upload = _Upload(self, facts, options)
        response = yield from in_parts(upload, body, part_size=self.part_size)
        return self.receipt(body, facts, response)


class TakesAnySize(Shelf):
    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        if body.size > LARGEST:
            return self.receipt(body, facts, (yield from self.send(body, facts, options)))
        return (yield from super().store_exchange(body, facts, options))


class ReadsWhatIsTooLarge(Shelf):
    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        yield Work(body.sha256)
        return (yield from super().store_exchange(body, facts, options))


class NeverSplits(Shelf):
    """Large ones go in one request."""

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        if body.size > LARGEST:
            return (yield from super().store_exchange(body, facts, options))
        return self.receipt(body, facts, (yield from self.send(body, facts, options)))


class ReadsAndRefuses(Shelf):
    """What is too large is refused when it was read."""

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        if LARGEST // 1024 < body.size <= LARGEST:
            yield Work(body.sha256)
            raise TooLargeError("it is larger than a shelf")
        return (yield from super().store_exchange(body, facts, options))


class SendsWhatIsTooLarge(Shelf):
    """Whether it is too large is found out by sending it."""

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        if body.size <= LARGEST:
            return (yield from super().store_exchange(body, facts, options))
        try:
            yield from self.send(body, facts, options)
        finally:
            raise TooLargeError("it is larger than a shelf")


class TakesLittle(Shelf):
    """It breaks no promise: what it does not take it refuses."""

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        if body.size > LARGEST // 1024:
            raise TooLargeError("it is larger than a shelf")
        return (yield from super().store_exchange(body, facts, options))


class StoresTheBeginning(Shelf):
    """Of what is large nothing but the beginning is sent, and nobody told."""

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        if LARGEST // 1024 < body.size <= LARGEST:
            response = yield from self.send(BytesBody(b"the beginning"), facts, options)
            return self.receipt(body, facts, response)
        return (yield from super().store_exchange(body, facts, options))


class NeverSendsAgain(Shelf):
    def request(self, method: str, facts: Facts, query: str = "", **more: Any) -> Request:
        more["idempotent"] = False if not query and method == "PUT" else more.get("idempotent")
        return super().request(method, facts, query, **more)


class NeverSendsAPartAgain(Shelf):
    def request(self, method: str, facts: Facts, query: str = "", **more: Any) -> Request:
        more["idempotent"] = False if query and method == "PUT" else more.get("idempotent")
        return super().request(method, facts, query, **more)


class SendsTheBeginningAgain(Shelf):
    """After trouble less is sent than before."""

    def send(self, body: Body, facts: Facts, options: StoreOptions) -> Exchange[Response]:
        try:
            response: Response = yield self.request("PUT", facts, body=body, idempotent=False)
        except ServerError:
            beginning = BytesBody(b"".join(body.chunks())[:10])
        else:
            return response
        return (yield from super().send(beginning, facts, options))


class ConflictsWithItself(Shelf):
    def stored_already(self, body: Body, facts: Facts) -> Exchange[Response | None]:
        yield from ()
        return None


class TakesAnyForItsOwn(Shelf):
    """What is in the way after a lost answer is taken for what was stored."""

    def stored_already(self, body: Body, facts: Facts) -> Exchange[Response | None]:
        return (yield self.request("HEAD", facts))  # type: ignore[no-any-return]


class CutsByItself(Shelf):
    """It breaks no promise, and needs no help to send parts."""

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        if not self.parts_above < body.size <= LARGEST:
            return (yield from super().store_exchange(body, facts, options))
        upload, taken = ShelfUpload(self, facts, options), b""
        state, tags = (yield from upload.begin()), dict[int, str]()
        for chunk in body.chunks():
            taken += chunk
            while len(taken) >= self.part_size:
                part, taken = taken[: self.part_size], taken[self.part_size :]
                yield from upload.send_bytes(state, len(tags) + 1, BytesBody(part))
                tags[len(tags) + 1] = ""
        yield from upload.send_bytes(state, len(tags) + 1, BytesBody(taken))
        tags[len(tags) + 1] = ""
        return self.receipt(body, facts, (yield from upload.finish(state, tags)))


class ReadsFirst(Shelf):
    """It breaks no promise, and wants a digest before it sends."""

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        if body.size <= LARGEST:
            yield Work(body.sha256)
        return (yield from super().store_exchange(body, facts, options))


# --- data, and leaks ------------------------------------------------------------------------------


class WritesAnotherBucket(Shelf):
    """Its JSON is that of another storage."""

    def to_json(self, *, indent: int | None = 2) -> str:
        return json.dumps({**self.to_dict(), "bucket": "other"}, indent=indent)


class PicklesAnotherBucket(Shelf):
    def __reduce__(self) -> Any:
        return partial(type(self), bucket="other"), ()


class CopiesAnotherBucket(Shelf):
    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return type(self)(bucket="other")


class KeepsTheToken(Shelf):
    note: str = Field("", description="What it should not keep.")

    def store_exchange(
        self, body: Body, facts: Facts, options: StoreOptions = PLAIN
    ) -> Exchange[Receipt]:
        receipt = yield from super().store_exchange(body, facts, options)
        self.note = yield from _token(self)
        return receipt


class _Tells(Shelf):
    """Says the token to whoever asks for what is there."""

    def tell(self, text: str) -> None:
        raise NotImplementedError

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        token = yield from _token(self)
        self.tell(f"with {token}")
        return (yield from super().stat_exchange(facts))


class LogsTheToken(_Tells):
    def tell(self, text: str) -> None:
        logging.getLogger("shelf").debug(text)


class LogsTokensThatAreRefused(Shelf):
    """A wrong credential is nearly a right one."""

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        try:
            return (yield from super().stat_exchange(facts))
        except AuthenticationError:
            logging.getLogger("shelf").info("refused: %s", (yield from _token(self)))
            raise


class PrintsTheToken(_Tells):
    def tell(self, text: str) -> None:
        sys.stdout.write(text)


class WarnsOfTheToken(_Tells):
    def tell(self, text: str) -> None:
        warnings.warn(text, stacklevel=1)


class AnswersWithTheToken(Shelf):
    """It stands in what the service says of an artifact."""

    def stat_exchange(self, facts: Facts) -> Exchange[Stat | None]:
        found = yield from super().stat_exchange(facts)
        token = yield from _token(self)
        return found and found.model_copy(update={"content_type": token})


def _token(storage: Shelf) -> Exchange[str]:
    values: dict[str, SecretValue] = yield Wanted({"token": storage.token})
    return values["token"].reveal()


def _wait_for_another() -> None:
    """Wait until two threads are here."""
    barrier: threading.Barrier = STATE.setdefault("barrier", threading.Barrier(2, timeout=10))
    barrier.wait()


PRESETS = {
    name: kind
    for name, kind in list(globals().items())
    if isinstance(kind, type) and issubclass(kind, Shelf) and not name.startswith("_")
}
"""All of them, and the right one, by name."""
