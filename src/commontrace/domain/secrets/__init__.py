"""Secret scan: rules of linear time for texts that would be kept."""
