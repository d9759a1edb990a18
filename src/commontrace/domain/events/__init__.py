"""Events: their types, and the watermark up to which they can be delivered."""
