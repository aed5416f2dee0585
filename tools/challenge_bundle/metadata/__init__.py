"""What image files say besides their pixels."""
