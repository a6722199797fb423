"""The images of a run, read and fitted."""

from dataclasses import dataclass, replace

from ..audit.duplicates import Duplicates
from ..data.catalogue import Catalogue
from ..data.pixel_cache import Images


@dataclass(frozen=True)
class Prepared:
    """The images of a run, read and fitted."""

    images: Images
    catalogue: Catalogue  # of the images, in their order: near-duplicates in one group, and, after a split, parts
    duplicates: Duplicates

    def with_catalogue(self, catalogue: Catalogue) -> "Prepared":
        return replace(self, catalogue=catalogue)
