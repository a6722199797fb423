"""A DICOM file to grey pixels, and nothing of the patient."""
