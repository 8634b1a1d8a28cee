"""The text of a category's files as a query reads it: preprocessed, without title lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, replace
from itertools import chain

from ess_dask.aq.inputs.opening import skip_front
from ess_dask.catalog.model import Category, Datastore, FileRef
from ess_dask.clean.protocol import StepContext
from ess_dask.dataclass import dataclass
from ess_dask.records.spec import ReadSpec
from ess_dask.records.title import split_fields


@dataclass(frozen=True, slots=True)
class Texts:
    """Opens the files of a category. ``columns`` are the names of its columns, '' for one without.

    ``context`` is that of the preprocess command.
    """

    store: Datastore
    category: Category
    columns: tuple[str, ...]
    context: StepContext = field(default_factory=StepContext.of_user)

    def of(self, file: FileRef) -> Iterator[Iterator[bytes]]:
        """Yield the text of a file, or that of each picked member of an archive.

        Each must be read before the next is asked for. Raises ``ReadError``, ``AccessError`` or
        ``TransientError`` for the file, ``CleanError`` for the preprocess command.
        """
        from ess_dask.catalog.store import check_version, open_file
        from ess_dask.records.archives import open_files
        from ess_dask.records.chunk import FileSource

        spec = ReadSpec((), compression=self.category.compression, archive=self.category.archive)
        source = FileSource(file.uri, lambda: open_file(self.store, file))
        texts: Iterator[Iterator[bytes]] = (blocks for _, blocks in open_files(source, spec))
        if self.category.preprocess:
            # One command for a file, as for `ess stream`: the members run together.
            texts = iter((self._preprocessed(chain.from_iterable(texts), file),))
        for blocks in texts:
            yield self._untitled(blocks)
        check_version(self.store, file)

    def _preprocessed(self, blocks: Iterator[bytes], file: FileRef) -> Iterator[bytes]:
        from ess_dask.clean.shell import ShellStep

        step = ShellStep(self.category.preprocess)
        yield from step.pipe(blocks, replace(self.context, uri=file.uri))

    def _untitled(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Return a text without its title line; unless probed, one that names the columns."""
        if self.category.header is not None:
            return skip_front(blocks, int(self.category.header), "l")
        head: list[bytes] = []
        for block in blocks:
            head.append(block)
            if b"\n" in block:
                break
        start = b"".join(head)
        titled = self._is_title(start.partition(b"\n")[0])
        return skip_front(chain((start,), blocks), int(titled), "l")

    def _is_title(self, line: bytes) -> bool:
        text = line.decode("latin-1").rstrip("\r")
        names = split_fields(text, self.category.delimiter or ",")
        pairs = zip(names, self.columns, strict=False)
        same = all(not column or name.strip().lower() == column for name, column in pairs)
        return same and len(names) == len(self.columns) and any(self.columns)
