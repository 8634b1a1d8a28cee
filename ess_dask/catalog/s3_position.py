"""Where a stream of an S3 object stands: what all of them have in common, however they read."""

from __future__ import annotations

import io


class SeekableObject(io.RawIOBase):
    """A readable stream of an object of a known size; setting the position fetches nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._position = 0

    def size(self) -> int:
        """Return the object's size in bytes."""
        raise NotImplementedError

    def readable(self) -> bool:
        """Whether bytes can be read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether the position can be set: yes."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position in bytes; nothing is fetched."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size()}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position {base + offset}")
        self._position = base + offset
        return self._position
