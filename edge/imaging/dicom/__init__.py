"""Read the pixels of a DICOM file, and no patient data."""
