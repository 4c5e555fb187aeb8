"""The choke point: the one place where templates become values and requests go out.

Nothing that is raised inside leaves it. What a caller sees is an error of ours, raised after the
handling of the original has ended, so that no traceback, cause or context reaches a frame in which
a value stands.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property, partial
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self, TypeGuard, TypeVar, cast

from webhook_storage import config, registry
from webhook_storage.answer import Receiver, Reply, check_sent, out_of_time, refusal
from webhook_storage.artifact import MeasuredBody
from webhook_storage.contracts import (
    UPLOAD,
    Access,
    Auth,
    Exchange,
    LogIn,
    Pause,
    Request,
    Response,
    Together,
    Transport,
    Wanted,
    WireRequest,
    Wish,
    Work,
)
from webhook_storage.effects import Sending, Sharing, Steps, Waiting, Working, aperform, perform
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    SecretUnavailableError,
    TransportError,
    WebhookStorageError,
)
from webhook_storage.leaving import mask, presentable
from webhook_storage.logins import Logins
from webhook_storage.origin import origin
from webhook_storage.pace import Pace
from webhook_storage.preview import Preview, preview
from webhook_storage.progress import Progress
from webhook_storage.redirect import next_hop
from webhook_storage.render import render, templates
from webhook_storage.resolution import Resolution
from webhook_storage.secret import SecretValue
from webhook_storage.template import Placeholder, Reference, parse
from webhook_storage.tries import Course, Tries
from webhook_storage.values import Values, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from webhook_storage.contracts import Resolver
    from webhook_storage.network import Network
    from webhook_storage.progress import Tell
    from webhook_storage.retry import RetryPolicy

T = TypeVar("T")

_MAX_HOPS = 5
_SMALL = 64 * 1024
"""A body of up to so many bytes is signed at once; that of a larger one is work for a thread."""

_MOST_PACES = 1024


class Sender:
    """What a process brings to a storage: its resolvers, its transports, its patience.

    A storage is data and names secrets; a sender resolves them and sends. Every operation uses the
    current sender: the one whose ``with`` block is entered, else the installed one, else a default.
    What is not given is as the process's configuration says, see `config.load`.

    Args:
        secrets: Resolvers, asked in this order; without a configuration the environment, ``.env``
            in the current directory and the secrets directory. A `Resolution` is used as it is.
        transport: Used for the URL schemes that it names; others are found by entry point.
        retry: When to send again.
        network: Where requests may go.

    Example:
        >>> from webhook_storage_resolvers.mapping import MappingResolver
        >>> with Sender(secrets=[MappingResolver({"TOKEN": "of this test"})]) as sender:
        ...     current_sender() is sender
        True
    """

    def __init__(
        self,
        *,
        secrets: Resolution | Sequence[Resolver] | None = None,
        transport: Transport | None = None,
        retry: RetryPolicy | None = None,
        network: Network | None = None,
    ) -> None:
        """Keep the parts; nothing is imported or connected yet."""
        if secrets is not None and not isinstance(secrets, Resolution):
            secrets = Resolution(secrets)
        self._resolution = secrets
        self._retry = retry
        self._network = network
        self._transports: dict[str, Transport] = {}
        if transport is not None:
            self._transports = dict.fromkeys(transport.schemes, transport)
        self._users = 0
        self._paces: dict[str, Pace] = {}
        self._logins = Logins()

    def __enter__(self) -> Self:
        """Make this the current sender of this thread or task."""
        with _counting:
            self._users += 1
        _entered.set((*_entered.get(), self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Make the one before current again; the last to leave closes the connections."""
        _entered.set(_entered.get()[:-1])
        with _counting:
            self._users -= 1
            unused = not self._users
        if unused:
            self.close()

    @classmethod
    def from_config(cls, path: Path | None = None, *, transport: Transport | None = None) -> Self:
        """Return a sender that is made as a configuration file says, and its environment.

        Args:
            path: The file; None takes the one that ``WEBHOOK_STORAGE_CONFIG`` names, if any.
            transport: As in the constructor.

        Raises:
            ConfigurationError: Something in it is unknown or wrong, or a resolver refuses it.
        """
        said = config.load(path)
        return cls(
            secrets=said.resolution(),
            transport=transport,
            retry=said.retry,
            network=said.network,
        )

    def install(self) -> Self:
        """Make this the sender of the whole process, wherever none is entered."""
        global _installed  # noqa: PLW0603 - that is what it is for
        _installed = self
        return self

    def close(self) -> None:
        """Close idle connections and the resolvers' clients. It can be used again afterwards."""
        self._logins.clear()
        for transport in set(self._transports.values()):
            transport.close()
        if self._resolution is not None:
            self._resolution.close()

    @property
    def resolution(self) -> Resolution:
        """Return what answers for secrets."""
        if self._resolution is None:
            said = self._said
            with _counting:  # several would each have a cache and ask for themselves
                if self._resolution is None:
                    self._resolution = said.resolution()
        return self._resolution

    def run(
        self,
        exchange: Exchange[T],
        *,
        retry: RetryPolicy | None = None,
        progress: Tell | None = None,
    ) -> T:
        """Carry an operation out and return its result.

        Args:
            exchange: What it sends, and what it makes of the answers.
            retry: When to send again in this operation, where that is to differ.
            progress: Gets how many bytes of an artifact were sent so far, see `Storage.put`.

        Raises:
            WebhookStorageError: One of its kinds, with nothing in it that a placeholder stood for.
        """
        try:
            return perform(self._converse(exchange, self._course(retry, progress)))
        except BaseException as error:  # noqa: BLE001 - nothing may leave as it is
            failure = presentable(error)
        raise failure

    async def arun(
        self,
        exchange: Exchange[T],
        *,
        retry: RetryPolicy | None = None,
        progress: Tell | None = None,
    ) -> T:
        """Do the same without blocking the event loop."""
        try:
            return await aperform(self._converse(exchange, self._course(retry, progress)))
        except BaseException as error:  # noqa: BLE001 - nothing may leave as it is
            failure = presentable(error)
        raise failure

    def preview(self, exchange: Exchange[Any]) -> Preview:
        """Return the first request of an operation with its secrets masked. Nothing is sent.

        Raises:
            SecretError: When a placeholder has no value, or an unsafe one, as when sending.
        """
        try:
            return perform(self._rehearse(exchange))
        except BaseException as error:  # noqa: BLE001 - nothing may leave as it is
            failure = presentable(error)
        raise failure

    @property
    def retry(self) -> RetryPolicy:
        """Return when to send again."""
        if self._retry is None:
            self._retry = self._said.retry
        return self._retry

    @property
    def network(self) -> Network:
        """Return where requests may go."""
        if self._network is None:
            self._network = self._said.network
        return self._network

    @cached_property
    def _said(self) -> config.Config:
        """What the configuration of the process says; it is read once, and only when needed."""
        return config.load()

    def _course(self, retry: RetryPolicy | None, progress: Tell | None) -> Course:
        return Course(retry or self.retry, None if progress is None else Progress(progress))

    def _converse(self, exchange: Exchange[T], course: Course) -> Steps[T]:
        """Drive the exchange: what it yields is fulfilled, what fails is told to it."""
        respond: Callable[[Any], Wish] = exchange.send
        answer: Any = None
        try:
            while True:
                wish = respond(answer)
                respond = exchange.send
                try:
                    answer = yield from self._fulfil(wish, course)
                except WebhookStorageError as error:
                    respond, answer = exchange.throw, error
        except StopIteration as stop:
            return cast("T", stop.value)
        except WebhookStorageError as error:
            # An exchange has seen answers, which may echo a secret, and may be somebody else's.
            # An error of ours that it passes on is masked where that is needed.
            if error is not answer:
                mask(error, course.redactor)
            raise
        finally:
            exchange.close()

    def _fulfil(self, wish: Wish, course: Course) -> Steps[Any]:
        """Do what an exchange wants and return what it is sent for that."""
        match wish:
            case Request():
                return (yield from self._deliver(wish, course))
            case Wanted():
                return (yield from self._fetch_secrets(wish, course))
            case Work():
                if wish.identity:
                    self._take(Reference(wish.identity, scheme="auth"), course)
                return (yield Working(wish.action))
            case Pause():
                return (yield Waiting(course.at_most(wish.seconds)))
            case Together():
                steps = [self._converse(each, course) for each in wish.exchanges]
                return (yield Sharing(steps, wish.limit))
            case LogIn():
                asking = Request(method="GET", url="", auth=wish.auth)  # it is not sent
                return (yield from self._fill(asking, course)).access.told

    def _fetch_secrets(self, wanted: Wanted, course: Course) -> Steps[dict[str, SecretValue]]:
        texts = [(name, parse(text)) for name, text in wanted.templates.items()]
        values = yield from ask(self.resolution, texts, {})
        course.wanted |= values.found
        course.taken |= values.found
        course.knows(values.found.values())
        return values.fill(wanted.templates)

    def _take(self, identity: Reference, course: Course) -> None:
        """Take note of credentials that a library finds; we never see their value."""
        self.resolution.policy.permit(identity)
        course.wanted[identity] = course.taken[identity] = SecretValue("")

    def _rehearse(self, exchange: Exchange[Any]) -> Steps[Preview]:
        """Render the first request twice: with values, to see that it can be, and with marks."""
        request = written((yield from first_request(exchange)))
        values = yield from ask(self.resolution, templates(request), request.facts)
        wire = render(request, values.lookup)
        self._check_network(request, wire)
        self._check_hosts(request, wire)
        return preview(request, values)

    def _deliver(self, request: Request, course: Course) -> Steps[Response]:
        """Send one request until it is answered, refused for good, or the retry policy gives up."""
        request = written(request)
        if UPLOAD in request.facts:
            course.uploads_to(request.facts[UPLOAD])
        filling = yield from self._fill(request, course)
        tries = Tries(request, course, self._pace(request, filling.values))
        if not tries.free:
            yield from tries.wait()
        while True:
            outcome = yield from self._try(request, filling, course, tries)
            if filling.refused(outcome) and tries.may_renew():
                newer = yield from self._renew(request, filling, course, outcome)
                if newer is not None:
                    tries.log(outcome)
                    filling = newer
                    continue
            response = None
            if isinstance(outcome, Reply) and outcome.good:
                response = outcome.response(tries.history, course.secrets)
            pause = tries.pause(outcome) if response is None else tries.pause_after(response)
            tries.log(outcome, pause)
            if pause is not None:
                yield from tries.wait(pause)
                continue
            if response is not None:
                check_sent(request, cast("Reply", outcome), len(tries.history))
                return response
            raise refusal(request, outcome, tries.history, course.redactor)

    def _try(
        self, request: Request, filling: _Filling, course: Course, tries: Tries
    ) -> Steps[Reply | TransportError]:
        """Send once more, and take note of what comes of it."""
        if isinstance(request.body, MeasuredBody):
            request.body.complete = False
        tries.begin()
        try:
            outcome = yield from self._attempt(request, filling, course, tries)
        except WebhookStorageError as error:
            tries.fail(error)
            raise
        tries.end(outcome)
        return outcome

    def _pace(self, request: Request, values: Values) -> Pace:
        """Return the pace at which the server of a request is asked."""
        scheme, mark, rest = request.url.partition("://")
        server = f"{scheme}{mark}{rest.partition('/')[0]}"
        if parse(server).sources:  # a value says where it goes, and no value is kept
            where = origin(render(request, values.lookup).url)
            server = sha256(repr(tuple(where)).encode()).hexdigest()
        if len(self._paces) >= _MOST_PACES:
            self._paces.clear()
        return self._paces.get(server) or self._paces.setdefault(server, Pace())

    def _fill(self, request: Request, course: Course, challenge: str = "") -> Steps[_Filling]:
        """Get all that the request takes: the values of its placeholders, and who sends it."""
        values = yield from ask(self.resolution, templates(request), request.facts)
        course.knows(values.found.values())
        course.taken |= values.found
        auth = request.auth
        if not isinstance(auth, Auth):
            return _Filling(values)
        exchange = auth.log_in(request, challenge)
        if exchange is None:
            return _Filling(values, auth)
        key, inner = (auth, auth.realm(request)), course.apart()
        log_in = partial(self._log_in, exchange, inner)
        access = yield from self._logins.get(key, log_in, course.deadline)
        course.knows(access.secrets.values())
        course.taken |= access.made_with  # who logs in by this may go no further either
        return _Filling(values, auth, access, key)

    def _log_in(self, exchange: Exchange[Access], course: Course) -> Steps[Access]:
        """Log in, and note with what."""
        try:
            access = yield from self._converse(exchange, course)
        except AuthenticationError:
            self.resolution.forget(course.taken)  # they may have been replaced meanwhile
            raise
        return replace(access, made_with=dict(course.taken))

    def _renew(
        self, request: Request, filling: _Filling, course: Course, refusal: Reply
    ) -> Steps[_Filling | None]:
        """Ask and log in again for a refused request; None when nothing of it changed."""
        own = filling.access.made_with if filling.access.lifetime == 0 else {}
        self.resolution.forget({**filling.values.found, **own})
        self._logins.forget(filling.key, filling.access)
        try:
            challenge = refusal.headers.get("www-authenticate", "")
            newer = yield from self._fill(request, course, challenge)
        except SecretUnavailableError:
            return None  # what the server said is the answer
        return None if newer.same_as(filling) else newer

    def _attempt(
        self, request: Request, filling: _Filling, course: Course, tries: Tries
    ) -> Steps[Reply | TransportError]:
        """Send once, through all redirects that may be followed."""
        if course.deadline is not None and not course.deadline.remaining():
            return out_of_time()
        first = render(request, filling.values.lookup)
        self._check_hosts(request, first, (*course.wanted, *filling.access.made_with))
        wire: WireRequest | None = first
        download, hops = tries.download, 0
        while wire is not None:
            self._check_network(request, wire)
            place = _place_of(wire.url)
            rest = download.range_headers(place) if download else []
            receiver = Receiver(
                request,
                download=download,
                place=place,
                resuming=bool(rest),
                deadline=course.deadline,
            )
            sent = wire.changed(headers=[*wire.headers, *rest]) if rest else wire
            sent = tries.counted(course.timed((yield from filling.signed(sent, course))))
            try:
                reply = yield Sending(self._transport(sent), sent, receiver, course.redactor)
            except WebhookStorageError as error:
                mask(error, course.redactor)
                if isinstance(error, TransportError):
                    return error
                raise
            wire = next_hop(request, wire, reply, course.redactor, left=_MAX_HOPS - hops)
            hops += 1
        return replace(reply, bare=True) if sent.bare else cast("Reply", reply)

    def _check_network(self, request: Request, wire: WireRequest) -> None:
        """Refuse what the process may not connect to, each time that a request leads elsewhere.

        Raises:
            ConfigurationError: When it may not.
        """
        network = self.network
        what = f"{request.method} {request.url}"
        network.check(wire.origin, what, allow_http=request.allow_http)
        if wire.proxies and wire.origin.scheme == "http":  # a proxy reads it, wherever it is for
            for proxy in wire.proxies.values():
                # One without a scheme, or with another than https, is spoken to in the clear.
                secure = proxy.lower().startswith("https://")
                proxy = proxy if secure else "http://" + proxy.rpartition("//")[2]  # noqa: PLW2901
                network.check(origin(proxy), f"the proxy of {what}", allow_http=request.allow_http)
        wire.guarded = network.guarded
        if wire.guarded and not self._transport(wire).can_guard:
            message = f"{what} would go through a transport that cannot tell a private address"
            hint = 'use the transport of httpx, or allow them: private = "allow" in [network]'
            raise ConfigurationError(message, hint=hint)

    def _check_hosts(
        self,
        request: Request,
        wire: WireRequest,
        wanted: Iterable[Reference] = (),
    ) -> None:
        """Refuse a request that would take a secret where the policy does not let it go.

        What an exchange wanted for itself may be in any of its requests, in whatever form.
        """
        _check_captured(request, wire)
        policy = self.resolution.policy
        if not policy.hosts:
            return
        what = f"{request.method} {request.url}"
        carried, proxied = list(wanted), list[Reference]()
        for argument, template in templates(request):
            (proxied if argument == "proxies" else carried).extend(template.references())
        policy.check(carried, wire.url, what)
        scheme = wire.url.partition(":")[0]
        for name, value in wire.headers:
            if name.lower() == "host":
                policy.check(carried, f"{scheme}://{value}", what)
        # A proxy reads what is not encrypted, or is for whoever the definition trusts.
        readable = scheme != "https" or wire.verify is not True
        for proxy in (wire.proxies or {}).values():
            policy.check([*proxied, *(carried if readable else ())], proxy, f"the proxy of {what}")

    def _transport(self, wire: WireRequest) -> Transport:
        scheme = wire.url.partition(":")[0].lower()
        transport = self._transports.get(scheme)
        if transport is None:
            make = cast(
                "Callable[[], Transport]", registry.load("webhook_storage.transports", scheme)
            )
            transport = make()
            for served in transport.schemes:
                self._transports.setdefault(served, transport)
        return self._transports[scheme]


_NOTHING = Access()


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class _Filling:
    """What goes into a request.

    Attributes:
        values: Of its placeholders.
        auth: How it says who sends it, None when placeholders say all of it.
        access: What the log-in for that gave.
        key: Under which that is kept.
    """

    values: Values
    auth: Auth | None = None
    access: Access = _NOTHING
    key: Hashable = None

    def same_as(self, other: _Filling) -> bool:
        """Tell whether the server would get the same. What a library signs with is made anew."""
        access, newer = self.access, other.access
        same = access.secrets == newer.secrets and access.signer is newer.signer
        return same and self.values.same_as(other.values)

    def refused(self, outcome: Reply | TransportError) -> TypeGuard[Reply]:
        """Tell whether the server does not, or no longer, take this for good."""
        if not isinstance(outcome, Reply) or outcome.bare:
            return False
        if self.auth is not None:
            return self.auth.refused(outcome.status, outcome.body)
        return outcome.status == HTTPStatus.UNAUTHORIZED and not outcome.good

    def signed(self, wire: WireRequest, course: Course) -> Steps[WireRequest]:
        """Return the request as it goes out; to another origin it goes without a signature."""
        if self.auth is None or wire.bare:
            return wire
        sign = partial(self.auth.sign, wire, self.access)
        large = wire.body is not None and wire.body.size > _SMALL
        signed: WireRequest = (yield Working(sign)) if large else sign()
        course.made(self.auth.signatures(signed))
        return signed


def written(request: Request) -> Request:
    """Return the request with what its `auth` writes into it."""
    return request.auth.write(request) if isinstance(request.auth, Auth) else request


def _check_captured(request: Request, wire: WireRequest) -> None:
    """Refuse to take a secret to a host that a service chose: its answer is the URL's beginning.

    Raises:
        ConfigurationError: When the storage does not name that host.
    """
    first = next(iter(parse(request.url).parts), "")
    if not isinstance(first, Placeholder) or not str(first.source).startswith("receipt."):
        return
    placeholders = any(True for _, template in templates(request) for _ in template.references())
    # A kind of auth adds its own when it signs, and a certificate is a credential where it stands.
    carries = placeholders or request.auth is not None or request.cert is not None
    host = wire.origin.host
    if carries and not any(fnmatchcase(host, pattern) for pattern in request.redirect_hosts):
        message = f"{request.method} {request.url} would take a secret to a host that was captured"
        raise ConfigurationError(message, hint="name that host in redirect_hosts")


def first_request(exchange: Exchange[Any]) -> Steps[Request]:
    """Return the first request of an exchange, which is closed; what it wants before is made up."""
    try:
        wish = next(exchange)
        while not isinstance(wish, Request):
            if isinstance(wish, Together):
                return (yield from first_request(wish.exchanges[0]))
            answer: Any = None
            if isinstance(wish, Work):
                answer = yield Working(wish.action)
            elif isinstance(wish, Wanted):
                answer = {name: SecretValue("") for name in wish.templates}
            wish = exchange.send(answer)
        return wish
    finally:
        exchange.close()


def _place_of(url: str) -> str:
    """Return a URL without its query: that of a signed one is another each time."""
    return url.partition("?")[0]


# --- the current sender --------------------------------------------------------------------------

_entered: ContextVar[tuple[Sender, ...]] = ContextVar("webhook_storage_senders", default=())
_installed: Sender | None = None
_counting = threading.Lock()
"""Held while threads that share a sender enter and leave it, or make its resolvers."""


def current_sender() -> Sender:
    """Return the sender that operations use here and now."""
    entered = _entered.get()
    return entered[-1] if entered else _installed or Sender().install()
