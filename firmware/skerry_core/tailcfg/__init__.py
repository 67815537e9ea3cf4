"""The JSON documents of the control protocol: keys, registration, map requests, the streamed map and its deltas."""
