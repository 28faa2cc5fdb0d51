#!/usr/bin/python3
"""Writes tests/vectors/holdfast/messages.json: hello, telemetry and trust list of docs/protocol/messages.cddl, made
without a line of Holdfast: python3-cbor2 encodes, hashlib and hmac authenticate, the openssl command line agrees
on keys and signs. Certificate and signatures are new at each run; everything else comes out the same.
Usage: make-message-vectors.py [FILE]"""
import hashlib
import hmac
import json
import pathlib
import subprocess
import sys
import tempfile

import cbor2

DEVICE = bytes.fromhex("00112233445566778899aabbccddeeff")
DEVICE_TEXT = "hf1:" + DEVICE.hex()
BOOT, FIRST, SEQ = 7, 4097, 4099
# Private scalars of the vectors: for these files only.
EPHEMERAL = bytes.fromhex("7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534")
INGEST = bytes.fromhex("38f65d6dce47676044d58ce5139582d568f64bb16098d179dbab07741dd5caf5")
LDEVID = bytes.fromhex("1accfaf1b97712b85a6f54b148985a1bdc4c9bec0bd258cad4b3d603f49f32c8")
WORK = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-vectors-"))


def run(*command, data=b""):
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def key_file(name, scalar):
    """SEC 1 private key without its public half: openssl computes that."""
    der = bytes.fromhex("30310201010420") + scalar + bytes.fromhex("a00a06082a8648ce3d030107")
    path = WORK / (name + ".pem")
    path.write_bytes(run("openssl", "ec", "-inform", "DER", data=der))
    return path


def point(path):
    return run("openssl", "ec", "-in", str(path), "-pubout", "-outform", "DER")[-65:]


def public_file(path):
    out = path.with_suffix(".pub")
    out.write_bytes(run("openssl", "ec", "-in", str(path), "-pubout"))
    return out


def certificate(path):
    return run("openssl", "req", "-x509", "-new", "-key", str(path), "-subj", "/serialNumber=press-001",
               "-days", "36500", "-outform", "DER")


def agree(own, peer):
    return run("openssl", "pkeyutl", "-derive", "-inkey", str(own), "-peerkey", str(public_file(peer)))


def hkdf(ikm, salt, info, length):
    prk = hmac.new(salt, ikm, hashlib.sha256).digest()
    out, block, number = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([number]), hashlib.sha256).digest()
        out, number = out + block, number + 1
    return out[:length]


def sign(path, message):
    """r || s from openssl's DER."""
    der = run("openssl", "dgst", "-sha256", "-sign", str(path), data=message)
    assert der[0] == 0x30 and der[2] == 0x02
    r_len = der[3]
    r = der[4:4 + r_len]
    s = der[4 + r_len + 2:]
    return b"".join(int.from_bytes(x, "big").to_bytes(32, "big") for x in (r, s))


def encode(value):
    return cbor2.dumps(value, canonical=True)


def sort_map(pairs):
    """cbor2's canonical form orders keys by length first (RFC 7049); RFC 8949 4.2.1 orders by bytes alone."""
    items = sorted((encode(k), v) for k, v in pairs.items())
    assert len(items) < 24
    return bytes([0xa0 + len(items)]) + b"".join(k + encode(v) for k, v in items)


def sign1(key, protected, payload, aad):
    to_sign = encode(["Signature1", protected, aad, payload])
    return encode(cbor2.CBORTag(18, [protected, {}, payload, sign(key, to_sign)])), to_sign


def main():
    target = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                          pathlib.Path(__file__).resolve().parent.parent / "tests/vectors/holdfast/messages.json")
    ephemeral, ingest, ldevid = (key_file(n, s) for n, s in
                                 (("ephemeral", EPHEMERAL), ("ingest", INGEST), ("ldevid", LDEVID)))
    leaf = certificate(ldevid)
    exporter = hashlib.sha256(bytes(range(32))).digest()
    ingest_id = hashlib.sha256(point(ingest)).digest()[:8]
    claims = sort_map({1: BOOT, 2: FIRST, 3: point(ephemeral), 4: exporter, 5: 1, 6: ingest_id,
                       7: "holdfast-agent 0.1.0", 8: 4098})
    hello_protected = sort_map({1: -7, 33: leaf})
    hello_topic = f"hf/1/{DEVICE_TEXT}/hello".encode()
    hello, hello_to_sign = sign1(ldevid, hello_protected, claims, hello_topic)

    shared = agree(ephemeral, ingest)
    assert shared == agree(ingest, ephemeral)
    mac_key = hkdf(shared, DEVICE + BOOT.to_bytes(4, "big"), b"holdfast mac 1", 32)
    first_record = sort_map({-2: "pump/", -3: 1770000000, 0: "temperature", 1: "Cel", 2: 21.5})
    second_record = sort_map({0: "running", 4: True, 6: 0.25})
    third_record = sort_map({0: "state", 3: "läuft", 6: 1})
    pack = b"\x83" + first_record + second_record + third_record
    telemetry_protected = sort_map({1: 5, -70001: BOOT, -70002: SEQ})
    telemetry_topic = f"hf/1/{DEVICE_TEXT}/t/process".encode()
    to_mac = encode(["MAC0", telemetry_protected, telemetry_topic, pack])
    tag = hmac.new(mac_key, to_mac, hashlib.sha256).digest()
    telemetry = encode(cbor2.CBORTag(17, [telemetry_protected, {}, pack, tag]))

    trust_payload = sort_map({1: 12, 2: [point(ingest)], 3: [leaf]})
    trust, trust_to_sign = sign1(ldevid, sort_map({1: -7, 33: leaf}), trust_payload, b"holdfast trust 1")

    vectors = {
        "about": "made by tools/make-message-vectors.py; bytes in hex; the trust list is signed by the hello's key",
        "device": DEVICE_TEXT, "boot": BOOT, "first": FIRST, "seq": SEQ, "oldest_unsent": 4098,
        "agent": "holdfast-agent 0.1.0",
        "ephemeral_private": EPHEMERAL.hex(), "ephemeral_point": point(ephemeral).hex(),
        "ingest_private": INGEST.hex(), "ingest_point": point(ingest).hex(), "ingest_key_id": ingest_id.hex(),
        "ldevid_point": point(ldevid).hex(), "ldevid_certificate": leaf.hex(), "exporter_digest": exporter.hex(),
        "hello_topic": hello_topic.decode(), "hello_protected": hello_protected.hex(), "hello_claims": claims.hex(),
        "hello_to_sign": hello_to_sign.hex(), "hello": hello.hex(),
        "shared_secret": shared.hex(), "mac_key": mac_key.hex(),
        "telemetry_topic": telemetry_topic.decode(), "telemetry_protected": telemetry_protected.hex(),
        "senml_pack": pack.hex(), "telemetry_to_mac": to_mac.hex(), "telemetry": telemetry.hex(),
        "trust_payload": trust_payload.hex(), "trust_to_sign": trust_to_sign.hex(), "trust_list": trust.hex(),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
