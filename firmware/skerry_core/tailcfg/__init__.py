"""The JSON documents of the control protocol: keys, registration, map requests, the streamed map and its deltas.

Everything is UTF-8 JSON with Go's conventions: names as given in each module, unknown names ignored, null the same as absent unless a
module says otherwise, times RFC 3339, durations in nanoseconds, keys as a prefix and 64 hexadecimal digits.
"""
