"""The images of a run with their catalogue and duplicates."""

from dataclasses import dataclass, replace

from ..audit.duplicates import Duplicates
from ..data.catalogue import Catalogue
from ..data.pixel_cache import Images


@dataclass(frozen=True)
class Prepared:
    """The images of a run, decoded at the network's input size."""

    images: Images
    catalogue: Catalogue  # one row for each image, in their order; near-duplicates share a group; split or not yet
    duplicates: Duplicates

    def with_catalogue(self, catalogue: Catalogue) -> "Prepared":
        return replace(self, catalogue=catalogue)
