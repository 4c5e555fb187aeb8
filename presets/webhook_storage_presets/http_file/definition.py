"""What is said of a file server: where the files are, who sends, and in which form."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from webhook_storage.auth import AnyAuth
from webhook_storage.checksum import ChecksumHeader
from webhook_storage.contracts import DEFAULT_TIMEOUT
from webhook_storage.storage import Names, Storage
from webhook_storage.template import parse
from webhook_storage_presets.fields import AllowHttp, Key, Timeout
from webhook_storage_presets.urls import check_base_url


class FileServer(Storage):
    """The fields of `HttpFile`, and what of them goes together."""

    url: str | None = Field(
        None, description="URL below which the files are; the key is put behind it."
    )
    key: Key = None
    upload_url: str | None = Field(
        None, description="Whole URL to store at, for example ${UPLOAD_URL}; no key is put behind."
    )
    download_url: str | None = Field(None, description="Whole URL to fetch from, likewise.")
    delete_url: str | None = Field(
        None, description="Whole URL to delete at, likewise; by default that to fetch from."
    )
    auth: AnyAuth | None = Field(
        None, description="Who sends it: a mapping with a type, for example bearer, or none."
    )
    cert: str | tuple[str, str] | None = Field(
        None,
        description="Path or PEM text, or its placeholder, of a client certificate with its key; "
        "or one of each.",
    )
    method: Literal["PUT", "POST"] | None = Field(
        None, description="Method that stores; PUT, or POST for a form."
    )
    form_field: str | None = Field(
        None,
        description="Field of a form in which the artifact goes to `upload_url`, or to `url` "
        "itself, with the key as its file name.",
    )
    form_data: dict[str, str] = Field(
        default_factory=dict, description="Other fields of that form."
    )
    headers: dict[str, str] = Field(
        default_factory=dict, description="Further headers of all requests."
    )
    store_headers: dict[str, str] = Field(
        default_factory=dict, description="Further headers of the request that stores."
    )
    answers_with_url: bool = Field(
        default=False,
        description="Whether the answer to a store is the URL to fetch from, as transfer.sh does; "
        "then artifacts are fetched by their receipts.",
    )
    keep_delete_url: bool = Field(
        default=False,
        description="Whether the receipt keeps the answer's X-Url-Delete. Who has such a receipt "
        "can delete the file.",
    )
    conditional_writes: bool = Field(
        default=False,
        description="Whether the server holds If-None-Match and If-Match of a store, as Apache "
        "does and nginx does not; else if_absent and if_unchanged are refused.",
    )
    checksum: ChecksumHeader | None = Field(
        None, description="Header with a checksum of the artifact, for servers that compare it."
    )
    idempotent: bool | None = Field(
        None,
        description="Whether storing twice does the same as once; by default when it is a PUT "
        "that is not answered with a URL.",
    )
    nginx_index: bool = Field(
        default=False,
        description="Whether to list by nginx's index of folders: autoindex with the format json.",
    )
    list_url: str | None = Field(None, description="URL of a JSON document that lists the files.")
    list_keys: str = Field(
        "/*", description="JSON pointer, with *, to their names as they stand behind `url`."
    )
    timeout: Timeout = DEFAULT_TIMEOUT
    verify: bool | str = Field(
        default=True,
        description="Path or PEM text of a CA bundle that is trusted as well; False is unsafe.",
    )
    allow_http: AllowHttp = False
    redirect_hosts: Names = Field(
        default_factory=list, description="Patterns of other hosts from which to fetch."
    )
    allow_html: bool = Field(default=False, description="Whether HTML pages are artifacts here.")

    @field_validator("key")
    @classmethod
    def _check_key(cls, text: str | None) -> str | None:
        if text is not None and (text.startswith("/") or "//" in text):
            raise ValueError("it has an empty name, which a file server leaves out")
        return text

    @field_validator("url")
    @classmethod
    def _trim_url(cls, text: str | None) -> str | None:
        if text is None:
            return None
        return check_base_url(text, "https://files.example.com/team")

    @model_validator(mode="after")
    def _check_urls(self) -> Self:
        fetched = self.download_url or self.answers_with_url
        if self.url is None and not (self.upload_url and fetched):
            raise ValueError("give 'url', or both 'upload_url' and 'download_url'")
        if self.form_data and self.form_field is None:
            raise ValueError("form_data goes with a form_field")
        if self.form_field is not None and self.method == "PUT":
            raise ValueError("a form is sent by POST, so leave 'method' out")
        if self.nginx_index and self.list_url is not None:
            raise ValueError("nginx_index and list_url contradict each other")
        if self.nginx_index and self.url is None:
            raise ValueError("nginx_index lists what is below 'url'")
        return self

    @model_validator(mode="after")
    def _check_answers(self) -> Self:
        if not self.answers_with_url:
            if self.keep_delete_url:
                raise ValueError("keep_delete_url goes with answers_with_url")
            return self
        if self.conditional_writes or self.download_url or self.delete_url:
            raise ValueError(
                "answers_with_url means a new place each time: conditional_writes, download_url "
                "and delete_url contradict it"
            )
        first = parse(self.upload_url or self.url or "").parts[0]
        if not isinstance(first, str):
            raise ValueError(  # noqa: TRY004 - pydantic wants it
                "answers_with_url needs the host written out, since the URL in the answer is "
                "compared with it"
            )
        return self
