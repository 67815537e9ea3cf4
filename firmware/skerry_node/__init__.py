"""skerryd and skerry: the adapter around the engine for Linux. No protocol logic."""
