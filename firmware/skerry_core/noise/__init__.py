"""Noise: the symmetric state every handshake shares, and the IK handshake and records of the ts2021 control protocol."""
