"""A trained module as an object of its own, outside any store: saved, opened, sent to the hub."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from xadapt.backbone.backbone import Backbone
from xadapt.common.errors import UserError
from xadapt.common.files import explained, sync, temporary
from xadapt.common.hub import hub_answers
from xadapt.common.own import is_own
from xadapt.common.text_tables import html_facts
from xadapt.mount import Element
from xadapt.mount.mount_spec import elements
from xadapt.mount.weights import check_backbone
from xadapt.stacks.methods import Method, parse_method
from xadapt.store.integrity import CONFIG, HEAD, MANIFEST, SUMMARY, WEIGHTS, copy_module, peek, prove
from xadapt.store.maintenance import closure, copying, stands_on
from xadapt.store.records import ADDRESS
from xadapt.store.store import Saved, Store, read_module

BELOW = "below"
_FILES = (*WEIGHTS, HEAD, CONFIG, MANIFEST, SUMMARY)
_BESIDE = (BELOW, ".gitattributes", ".git", ".cache")  # what the hub's own tools put into a folder


@dataclass(frozen=True)
class Module:
    """A module, and the modules that it stands on: all that is needed to mount it on its backbone.

    A folder has the layout that PEFT reads: ``adapter_config.json`` and ``adapter_model.safetensors`` (or
    ``model.safetensors`` of a fully fine-tuned module), with ``head.safetensors``, ``manifest.json`` and
    ``README.md``; what it stands on lies in ``below/<address>/``, in the same layout.

    Attributes:
        saved: manifest, weights and head, on the CPU.
        below: what it stands on, lowest first; empty on the bare backbone.
    """

    saved: Saved
    below: tuple[Saved, ...] = ()
    _held: object = field(default=None, repr=False, compare=False)  # a downloaded folder, while it is needed

    def __repr__(self) -> str:
        manifest = self.manifest
        name = manifest.get("backbone", {}).get("name", "?")
        facts = [str(manifest.get("method")), f"on {name}", f"{manifest.get('parameters', 0):,} parameters"]
        if manifest.get("seed") is not None:
            facts.insert(1, f"seed {manifest['seed']}")
        return f"Module({self.expression!r}, {', '.join(facts)}, {self.address})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        manifest = self.manifest
        dev = manifest.get("dev") or {}
        return html_facts(
            {
                "module": self.expression,
                "address": self.address,
                "method": str(manifest.get("method")),
                "seed": manifest.get("seed"),
                "backbone": manifest.get("backbone", {}).get("name"),
                "parameters": manifest.get("parameters"),
                "labels": ", ".join(self.labels) or None,
                "data": manifest.get("data", {}).get("source"),
                "licence": manifest.get("data", {}).get("licence"),
                f"dev {dev.get('metric', '')}": dev.get("score"),
                "stands on": ", ".join(str(saved.manifest.get("expression")) for saved in self.below) or None,
            }
        )

    # -- what it is -------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """A hash of all that determined it: 20 hexadecimal digits."""
        return self.saved.address

    @property
    def manifest(self) -> Mapping[str, Any]:
        """All that determined it, its data with licence and citation, its score on dev, versions."""
        return self.saved.manifest

    @property
    def expression(self) -> str:
        """The stack expression up to and including it."""
        return str(self.manifest.get("expression", ""))

    @property
    def method(self) -> Method:
        """LoRA, bottleneck or full. Raises ``UserError`` where it is of another make."""
        return parse_method(str(self.manifest.get("method")))

    @property
    def labels(self) -> tuple[str, ...]:
        """What the rows of a classifying head stand for, in order."""
        return tuple(self.manifest.get("labels", ()))

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """By peft's or ``adapters``' names: LoRA's ``lora_A`` (r, in) and ``lora_B`` (out, r), a bottleneck's
        ``adapter_down.0.weight`` (width, H) and ``adapter_up.weight`` (H, width)."""
        return self.saved.weights

    @property
    def head(self) -> Mapping[str, Tensor]:
        """By the head's own names (``xadapt.kinds.heads``); empty where it has none."""
        return self.saved.head

    def elements(self, backbone: Backbone) -> list[Element]:
        """It and what it stands on, as ``mount`` takes it. Raises ``UserError`` for another backbone."""
        check_backbone(self.saved, backbone)
        found = {saved.address: saved for saved in (*self.below, self.saved)}
        return elements(self.address, found.__getitem__)

    # -- from and into a store --------------------------------------------------------------

    @classmethod
    def from_store(cls, store: Store, address: str) -> Self:
        """The module of ``address`` and what it stands on, proven.

        Raises:
            UserError: one is missing, altered or of another schema version.
        """
        saved = store.load(address)
        return cls(saved, tuple(store.load(each) for each in closure(store, [address])[:-1]))

    def add_to(self, store: Store) -> None:
        """Put it, and what it stands on, into a store, which keeps them as it keeps a copy.

        Raises:
            UserError: the folder it was opened from has changed; the disk refuses.
        """
        chain = (*self.below, self.saved)
        with copying(store, self.expression, [saved.address for saved in chain]):
            for saved in chain:
                if store.has(saved.address):
                    store.load(saved.address)
                    continue
                with _own_files(saved) as folder:
                    store.take_in(folder)

    # -- from and into folders and the hub --------------------------------------------------

    def save_pretrained(self, folder: Path | str) -> Path:
        """Write it whole or not at all, byte for byte as it was, and prove what was written.

        Args:
            folder: new, empty, or with a module in it, which is replaced.

        Raises:
            UserError: something else lies there; the disk refuses; the source has changed.
        """
        out = Path(folder).expanduser().absolute()
        with explained(out):
            if out.exists() and (not out.is_dir() or (any(out.iterdir()) and peek(out) is None)):
                raise UserError(
                    "there is something already, which is no module",
                    expected="a new or an empty folder, or that of a module",
                    path=out,
                )
            part = temporary(out.parent, out.name)
            try:
                _copy(self.saved, part)
                for saved in self.below:
                    place = part / BELOW / saved.address
                    place.mkdir(parents=True)
                    _copy(saved, place)
                for path in sorted(part.rglob("*")):
                    sync(path)
                if out.exists():
                    old = temporary(out.parent, out.name)
                    out.rename(old)  # onto an empty folder
                    part.rename(out)
                    shutil.rmtree(old)
                else:
                    part.rename(out)
                sync(out.parent)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        return out

    @classmethod
    def from_pretrained(cls, name: Path | str, *, revision: str | None = None) -> Self:
        """Open a folder that ``save_pretrained`` wrote, or a repository of the hub.

        Every file is proven by its hash, the manifest by its own, and the address by what determined the
        module. Nothing is unpickled, and no code of a repository is run. Whether it fits a backbone is
        proven when it is mounted.

        Args:
            name: a folder, or a hub id such as ``user/module``.
            revision: a branch, tag or commit of the repository; its main branch by default.

        Raises:
            UserError: no such folder or repository, the hub out of reach, files missing, altered or
                pickled, another schema version, what it stands on is not there.
        """
        path = Path(name).expanduser()
        if path.is_dir():
            return cls._opened(path, None)
        text = str(name)
        if text.startswith((".", "/", "~")) or text.count("/") != 1:
            raise UserError(
                f"module {text!r}: there is no such folder",
                expected="a folder that save_pretrained wrote, or a hub id such as user/module",
                do="check the path",
            )
        held = tempfile.TemporaryDirectory(prefix="xadapt-")
        _download(text, revision, Path(held.name))
        return cls._opened(Path(held.name), held)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
    ) -> str:
        """Send it to a repository of the hub, which is made if it is not there.

        ``HF_TOKEN`` and ``HF_ENDPOINT`` are honoured. Modules and weights that lay there before are
        replaced, in one commit; other files stay.

        Args:
            repo_id: such as ``user/module``.
            private: who may see a new repository; the account's default where None.
            revision: a branch, made if it is not there; the main branch by default.

        Returns:
            the address of the commit.

        Raises:
            UserError: the hub refuses, or is out of reach.
        """
        from huggingface_hub import HfApi

        api = HfApi()
        with tempfile.TemporaryDirectory() as folder, _hub_errors(repo_id, "be sent to"):
            self.save_pretrained(folder)
            api.create_repo(repo_id, private=private, exist_ok=True)
            if revision is not None:
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                revision=revision,
                commit_message=commit_message or f"Module {self.expression or self.address}",
                delete_patterns=[f"{BELOW}/*", *WEIGHTS],
            )
        return commit.commit_url

    @classmethod
    def _opened(cls, root: Path, held: object) -> Self:
        with explained(root, "read"):
            top = _read(root, str((peek(root) or {}).get("address", "")), _BESIDE)
            below: dict[str, Saved] = {}

            def visit(saved: Saved) -> None:
                for address in stands_on(saved.manifest):
                    if address not in below:
                        found = _read(root / BELOW / address, address)
                        visit(found)
                        below[address] = found

            visit(top)
        return cls(top, tuple(below.values()), held)


def _read(folder: Path, address: str, beside: tuple[str, ...] = ()) -> Saved:
    if not (folder / MANIFEST).is_file():
        raise UserError(
            "no module is there",
            expected=f"{MANIFEST} and the files that it lists",
            do="write it anew: Module.from_store(store, address).save_pretrained(folder)",
            path=folder,
        )
    manifest = prove(folder, address, beside=beside)
    for name in _own_code(manifest):
        if name.rpartition(".")[0] not in sys.modules:  # it comes from anywhere: nothing is imported for it
            raise UserError(
                f"{manifest.get('expression') or address} was made with the code {name}, which is not ours",
                expected="that you have that code, and trust it",
                do=f"import {name.rpartition('.')[0]} first",
                path=folder,
            )
    return read_module(folder, manifest)


def _own_code(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The names of the kind, method and merges that a module was made with and this package has not."""
    below: list[Any] = [manifest["determinants"].get("below")]
    words = [str(manifest.get("kind")), str(manifest.get("method")).partition("(")[0]]
    for part in below:
        if isinstance(part, Mapping):
            words.append(str(part.get("merge", "")))
            below += [part.get("on"), part.get("part"), *part.get("fuse", ())]
            below += [operand for _, operand in part.get("operands", ())]
    yield from filter(is_own, words)


def _copy(saved: Saved, place: Path) -> None:
    """Copy a module's own files to an empty folder, and prove what has arrived."""
    copy_module(saved.path, place)
    prove(place, saved.address)


@contextmanager
def _own_files(saved: Saved) -> Iterator[Path]:
    """A folder with the module's own files and nothing beside them."""
    with tempfile.TemporaryDirectory() as folder:
        _copy(saved, Path(folder))
        yield Path(folder)


def _download(repo_id: str, revision: str | None, place: Path) -> None:
    """Fetch the files that a module can have, and no others, as plain files."""
    from huggingface_hub import snapshot_download

    with _hub_errors(repo_id, "be had from"):
        found = snapshot_download(
            repo_id,
            revision=revision,
            allow_patterns=[*_FILES, *(f"{BELOW}/*/{name}" for name in _FILES)],
            local_files_only=not hub_answers(),
        )
    for path in Path(found).rglob("*"):
        inner = path.relative_to(found)
        parts = inner.parts
        if path.is_file() and (len(parts) == 1 or (len(parts) == 3 and ADDRESS.fullmatch(parts[1]))):
            (place / inner).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place / inner)  # the cache has links, which a module must not have


@contextmanager
def _hub_errors(repo_id: str, doing: str) -> Iterator[None]:
    """What the hub's client raises, as a ``UserError``."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    from requests import RequestException

    try:
        yield
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, RequestException) as error:
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"module {repo_id!r} cannot {doing} the hub: {first}",
            expected="a repository such as user/module, a token with the right to it, a hub that answers",
            do="check the spelling, the connection and the token (HF_ENDPOINT and HF_TOKEN are honoured)",
        ) from error
