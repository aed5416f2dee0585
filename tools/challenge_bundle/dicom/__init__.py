"""DICOM images and the contours drawn on them: reading, checking, showing, and batches for training."""
